"""Layers and optimizers of tf-keras in compiled calls: they learn, and draw, as on plain variables."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from engine_testing import JIT, Holder, assert_close

from polyrl.engine import functional
from polyrl.engine.carried import CarriedState
from polyrl.engine.compiler import Compiler
from polyrl.engine.functional import NotFunctionalError


class Counter(tf_keras.layers.Layer):
    """Counts its calls in training, and scales by the count."""

    def build(self, shape):
        self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)
        self.scale = self.add_weight(name="scale", shape=shape[-1:], initializer="ones")

    def call(self, x, training=False):
        if training:
            self.calls.assign_add(1.0)
        return x * self.scale + 0.1 * self.calls


class Traced(tf_keras.layers.Layer):
    """Computes in a `tf.function` of its own."""

    def build(self, shape):
        self.w = self.add_weight(name="w", shape=(shape[-1], 4), initializer=tf_keras.initializers.GlorotUniform(3))

    @tf.function
    def call(self, x):
        return tf.tanh(x @ self.w)


def dense(units, seed, **arguments):
    return tf_keras.layers.Dense(units, kernel_initializer=tf_keras.initializers.GlorotUniform(seed), **arguments)


def vector_model(*layers):
    """A functional model on vectors [B, 6]."""
    x = inputs = tf_keras.Input([6])
    for layer in layers:
        x = layer(x)
    return tf_keras.Model(inputs, dense(3, 99)(x))


def reused():
    layer = dense(6, 1, activation="tanh")
    return vector_model(layer, tf_keras.layers.LayerNormalization(), layer)


def recurrent(kind):
    inputs = tf_keras.Input([5, 6])
    initial = {"kernel_initializer": tf_keras.initializers.GlorotUniform(1)}
    initial["recurrent_initializer"] = tf_keras.initializers.GlorotUniform(2)
    return tf_keras.Model(inputs, dense(3, 3)(kind(7, **initial)(inputs)))


def embedding():
    inputs = tf_keras.Input([5], dtype=tf.int32)
    table = tf_keras.layers.Embedding(11, 4, embeddings_initializer=tf_keras.initializers.RandomUniform(seed=1))
    return tf_keras.Model(inputs, dense(3, 2)(tf_keras.layers.Flatten()(table(inputs))))


def convolution():
    inputs = tf_keras.Input([6, 6, 2])
    x = tf_keras.layers.Conv2D(3, 3, activation="relu", kernel_initializer=tf_keras.initializers.GlorotUniform(1))(inputs)
    return tf_keras.Model(inputs, dense(3, 2)(tf_keras.layers.Flatten()(x)))


MODELS = {
    "dense": lambda: vector_model(dense(8, 1, activation="relu")),
    "wide": lambda: vector_model(dense(4096, 1, activation="tanh")),  # A kernel above the limit.
    "batch_normalization": lambda: vector_model(dense(8, 1), tf_keras.layers.BatchNormalization(), dense(4, 2)),
    "counter": lambda: vector_model(dense(8, 1), Counter()),
    "reused": reused,
    "nested": lambda: vector_model(vector_model(dense(5, 1), tf_keras.layers.BatchNormalization())),
    "sequential": lambda: vector_model(tf_keras.Sequential([dense(5, 1), Counter()])),
    "traced": lambda: vector_model(Traced()),
    "constrained": lambda: vector_model(dense(8, 1, kernel_constraint="max_norm", bias_constraint="non_neg")),
    "regularised": lambda: vector_model(dense(8, 1, kernel_regularizer="l2")),
    "simple_rnn": lambda: recurrent(tf_keras.layers.SimpleRNN),
    "lstm": lambda: recurrent(tf_keras.layers.LSTM),
    "gru": lambda: recurrent(tf_keras.layers.GRU),
    "embedding": embedding,
    "convolution": convolution,
}


def batch(model, seed):
    shape = [7, *model.input_shape[1:]]
    if model.inputs[0].dtype == tf.int32:
        return tf.random.stateless_uniform(shape, [seed, 0], 0, 11, tf.int32)
    return tf.random.stateless_normal(shape, [seed, 0])


class Learner(tf.Module):
    """A model and an optimizer; `update` is one step of regression on a batch."""

    def __init__(self, build):
        super().__init__()
        self.model = build()
        self.optimizer = tf_keras.optimizers.SGD(0.05, momentum=0.9, jit_compile=False)
        self.optimizer.build(self.model.trainable_variables)

    def update(self, x):
        trained = self.model.trainable_variables
        with tf.GradientTape() as tape:
            sources = functional.sources(trained)
            tape.watch(sources)
            target = tf.reduce_sum(tf.cast(tf.reshape(x, [7, -1]), tf.float32), axis=1, keepdims=True)
            loss = tf.reduce_mean((self.model(x, training=True) - 0.1 * target) ** 2) + sum(self.model.losses)
        gradients = tape.gradient(loss, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        self.optimizer.apply_gradients(zip(gradients, trained, strict=True))
        return [loss]

    @property
    def numbers(self):
        return [*self.model.variables, *self.optimizer.variables]


RECURRENT = ("simple_rnn", pytest.param("lstm", marks=pytest.mark.slow), pytest.param("gru", marks=pytest.mark.slow))
OTHERS = [kind for kind in MODELS if kind not in ("simple_rnn", "lstm", "gru")]
LONG = ("wide", "counter", "reused")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in LONG else kind for kind in OTHERS])
def test_layers_learn_as_on_plain_variables(kind):
    assert check_learning(kind).xla


@pytest.mark.slow
@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layers_learn_without_xla(kind, caplog):
    """Their loop over time has no static number of rounds, which XLA says at the first call."""
    assert not check_learning(kind).xla
    assert "XLA cannot compile the training loop, which continues without it" in caplog.text


def check_learning(kind) -> Compiler:
    """Ten updates; float32 to 1e-4, of which XLA's order of sums takes some."""
    ours, plain = Learner(MODELS[kind]), Learner(MODELS[kind])
    for one, two in zip(ours.numbers, plain.numbers, strict=True):
        np.testing.assert_array_equal(one, two)  # They begin alike.
    spec = tf.TensorSpec([7, *ours.model.input_shape[1:]], ours.model.inputs[0].dtype)
    tf.function(ours.update, autograph=False).get_concrete_function(spec)  # Creates all variables.
    compiler = Compiler()
    compiler.start([ours, ours.optimizer], lambda: ours.update(batch(ours.model, 0)), jit=True)
    start = [v.numpy() for v in ours.numbers]
    losses = []
    for seed in range(10):
        call = compiler.call("update", lambda: (ours.update, [spec]))
        losses.append([call(batch(ours.model, seed))[0].numpy(), plain.update(batch(plain.model, seed))[0].numpy()])
    np.testing.assert_allclose(*np.transpose(losses), rtol=1e-4, atol=1e-6)
    compiler.write_back()
    found = [v.numpy() for v in ours.numbers]
    assert_close(found, [v.numpy() for v in plain.numbers], rtol=1e-4, atol=1e-5)
    moved = [not np.array_equal(*pair) for pair in zip(start, found, strict=True)]
    assert np.mean(moved) > 0.5  # So that equal zeros could not pass.
    return compiler


class Scattered(tf_keras.layers.Layer):
    """Counts which of its inputs are positive, by `scatter_add`."""

    def build(self, shape):
        self.counts = self.add_weight(name="counts", shape=shape[-1:], initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            slices = tf.IndexedSlices(tf.reduce_sum(tf.cast(x > 0.0, tf.float32), axis=0), tf.range(x.shape[-1]))
            self.counts.scatter_add(slices)
        return x


def test_a_layer_that_needs_more_of_a_variable_than_a_stand_in_offers_is_not_functional():
    """Training then continues without XLA, see `Compiler.start`; any other error would end the run."""
    learner = Learner(lambda: vector_model(dense(4, 1), Scattered()))
    with pytest.raises(NotFunctionalError):
        CarriedState([learner, learner.optimizer], lambda: learner.update(batch(learner.model, 0)))


# Random numbers. --------------------------------------------------------------------------------------------------------


@pytest.fixture
def generators():
    """Dropout draws from a `tf.random.Generator` of its own, as in a network of polyrl's."""
    enabled = tf_keras.backend.experimental.is_tf_random_generator_enabled()
    tf_keras.backend.experimental.enable_tf_random_generator()
    yield
    if not enabled:
        tf_keras.backend.experimental.disable_tf_random_generator()


def dropped(jit: bool, calls: int, loop: int = 0) -> np.ndarray:
    """What dropout leaves of ones, `[calls * max(loop, 1), 200]`."""
    model = tf_keras.Sequential([tf_keras.layers.Dropout(0.5, seed=3), tf_keras.layers.Dropout(0.0)])
    holder = Holder(model=model, count=tf.Variable(0.0))
    x = tf.ones([1, 200])
    model(x, training=True)

    def update():
        holder.count.assign_add(1.0)
        if not loop:
            return [model(x, training=True)]
        log = tf.zeros([loop, 200])
        return functional.while_loop(
            lambda n, log: n < loop,
            lambda n, log: (n + 1, tf.tensor_scatter_nd_update(log, [[n]], model(x, training=True))),
            [tf.constant(0), log],
        )[1:]

    tf.function(update, autograph=False).get_concrete_function()
    compiler = Compiler()
    compiler.start([holder], update, jit)
    rows = np.concatenate([compiler.call("update", lambda: (update, []))()[0].numpy() for _ in range(calls)])
    compiler.write_back()
    assert holder.count.numpy() == calls
    assert compiler.xla == jit
    return rows


@JIT
def test_dropout_draws_again_at_each_call(generators, jit):
    rows = dropped(jit, 8)
    assert len(np.unique(rows, axis=0)) == 8
    assert 0.4 < np.mean(rows == 0.0) < 0.6
    assert {*np.unique(rows)} == {0.0, 2.0}


@JIT
@pytest.mark.parametrize("loop", [1, 4])
def test_dropout_draws_again_in_each_round_of_a_loop(generators, jit, loop):
    assert len(np.unique(dropped(jit, 3, loop), axis=0)) == 3 * loop
