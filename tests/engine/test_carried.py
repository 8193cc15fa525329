"""`CarriedState`: compiled calls on carried values do what the same calls do on plain variables."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.engine import functional
from polyrl.engine.carried import CarriedState, PlainState
from polyrl.engine.functional import NotFunctionalError
from polyrl.engine.layout import LIMIT, Layout

STATES = {"carried": CarriedState, "plain": lambda roots, function: PlainState()}
NUMBER = tf.TensorSpec([], tf.float32)


@pytest.fixture(params=STATES)
def new_state(request):
    """Each of the two ways to keep a state, of `(roots, update)`."""
    return STATES[request.param]


class Holder(tf.Module):
    def __init__(self, **attributes):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)


def counter_and_table() -> Holder:
    """Variables of several dtypes, in vectors and alone."""
    return Holder(
        count=tf.Variable(0, dtype=tf.int64, name="count"),
        weights=tf.Variable([1.0, 2.0, 3.0], name="weights"),
        untouched=tf.Variable([-1, 2], name="untouched"),
        flag=tf.Variable(False, name="flag"),
        precise=tf.Variable([0.1, 0.2], dtype=tf.float64, name="precise"),
        large=tf.Variable(tf.zeros([LIMIT + 1]), name="large"),
    )


def step(holder: Holder, x) -> list:
    holder.count.assign_add(1)
    holder.weights.assign(holder.weights * x)
    holder.flag.assign(~holder.flag.read_value())
    holder.precise.assign_sub([0.0, 1.0])
    position = tf.reshape(holder.count.read_value(), [1, 1])
    holder.large.scatter_nd_update(position, tf.reshape(x, [1]))
    return [tf.reduce_sum(holder.weights), holder.count.read_value()]


def values(*roots) -> list[np.ndarray]:
    return [variable.numpy() for root in roots for variable in root.variables]


def assert_close(found, expected, rtol=1e-5, atol=1e-6):
    """XLA orders sums in another way, so that they are not equal to the last bit."""
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(one, np.float64), np.asarray(two, np.float64), rtol=rtol, atol=atol)


# Pull, push. ------------------------------------------------------------------------------------------------------------


def test_calls_compute_as_on_plain_variables_and_push_brings_the_values_home(new_state):
    ours, plain = counter_and_table(), counter_and_table()
    state = new_state([ours], lambda: step(ours, tf.constant(1.0)))
    call = state.compile(lambda x: step(ours, x), [NUMBER])
    for x in (2.0, 0.5, -3.0, 1.0):
        outputs, expected = call(tf.constant(x)), step(plain, tf.constant(x))
        assert [value.numpy() for value in outputs] == [value.numpy() for value in expected]
    state.push()
    for one, two in zip(values(ours), values(plain), strict=True):
        np.testing.assert_array_equal(one, two)
    assert ours.count.numpy() == 4


def test_building_and_compiling_change_nothing(new_state):
    holder = counter_and_table()
    before, attributes = values(holder), dict(vars(holder))
    state = new_state([holder], lambda: step(holder, tf.constant(1.0)))
    state.compile(lambda x: step(holder, x), [NUMBER])
    state.push()
    for one, two in zip(before, values(holder), strict=True):
        np.testing.assert_array_equal(one, two)
    assert all(vars(holder)[name] is value for name, value in attributes.items())


def test_between_calls_pull_takes_over_what_was_assigned(new_state):
    holder = counter_and_table()
    state = new_state([holder], lambda: step(holder, tf.constant(1.0)))
    call = state.compile(lambda x: step(holder, x), [NUMBER])
    call(tf.constant(2.0))
    state.push()
    holder.weights.assign([10.0, 20.0, 30.0])
    holder.large.assign(tf.ones([LIMIT + 1]))
    state.pull()
    assert call(tf.constant(1.0))[0] == 60.0
    state.push()
    assert holder.count.numpy() == 2
    np.testing.assert_array_equal(holder.weights, [10.0, 20.0, 30.0])
    assert holder.large.numpy().sum() == LIMIT + 1  # At position 2 a one again.


def test_a_push_that_nothing_has_gone_before_leaves_assignments_alone(new_state):
    """As when weights are restored and then evaluated, without an update between."""
    holder = counter_and_table()
    state = new_state([holder], lambda: step(holder, tf.constant(1.0)))
    call = state.compile(lambda x: step(holder, x), [NUMBER])
    call(tf.constant(2.0))
    state.push()
    holder.weights.assign([7.0, 7.0, 7.0])
    state.push()
    np.testing.assert_array_equal(holder.weights, [7.0, 7.0, 7.0])


def test_a_second_call_goes_on_from_the_first(new_state):
    """One state, two compiled functions in turn."""
    holder = counter_and_table()
    state = new_state([holder], lambda: step(holder, tf.constant(1.0)))
    first = state.compile(lambda x: step(holder, x), [NUMBER])

    def double():
        holder.weights.assign(holder.weights * 2.0)
        return [tf.reduce_sum(holder.weights)]

    second = state.compile(double, [])
    assert [first(tf.constant(2.0))[0], second()[0], second()[0], first(tf.constant(0.5))[0]] == [12.0, 24.0, 48.0, 24.0]
    state.push()
    np.testing.assert_array_equal(holder.weights, [4.0, 8.0, 12.0])


def test_a_state_without_small_variables_is_kept_too(new_state):
    holder = Holder(large=tf.Variable(tf.zeros([LIMIT + 1])))

    def update():
        holder.large.assign_add(tf.ones([LIMIT + 1]))
        return [tf.reduce_sum(holder.large)]

    state = new_state([holder], update)
    call = state.compile(update, [])
    assert [float(call()[0]), float(call()[0])] == [LIMIT + 1, 2 * (LIMIT + 1)]
    state.push()
    assert holder.large.numpy().sum() == 2 * (LIMIT + 1)


def test_an_empty_variable_is_assigned_too(new_state):
    """As the vector of an optimizer whose variables are all large."""
    holder = Holder(empty=tf.Variable(tf.zeros([0])), count=tf.Variable(0.0))

    def update():
        holder.empty.assign(holder.empty * 2.0)
        return [holder.count.assign_add(1.0)]

    state = new_state([holder], update)
    call = state.compile(update, [])
    assert [float(call()[0]), float(call()[0])] == [1.0, 2.0]


@pytest.mark.parametrize(
    "jit",
    [
        "carried",
        "plain",
    ],
)
def test_what_a_call_keeps_of_its_inputs_outlives_them(jit):
    """Inputs are handed over without a copy, in buffers that are written again."""
    holder = Holder(last=tf.Variable(tf.zeros([64])), other=tf.Variable(tf.zeros([64])))
    layout = Layout([tf.TensorSpec([64]), tf.TensorSpec([64])])

    def update(*packed):
        first, second = layout.unpack(packed)
        holder.last.assign(first)
        holder.other.assign(second)
        return [tf.reduce_sum(first)]

    state = STATES[jit]([holder], lambda: update(tf.zeros([128], tf.int32)))
    call = state.compile(update, layout.specs)
    copy = jit == "plain"
    call(*layout.pack_arrays([np.full(64, 1.0, np.float32), np.full(64, 2.0, np.float32)], copy))
    layout.pack_arrays([np.full(64, -1.0, np.float32), np.full(64, -2.0, np.float32)])
    state.push()
    np.testing.assert_array_equal(holder.last, np.full(64, 1.0))
    np.testing.assert_array_equal(holder.other, np.full(64, 2.0))


# Variables in places of their own. --------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [False, True], ids=["by_closure_alone", "by_a_module_too"])
def test_a_variable_used_through_a_closure_stays_where_it_is_and_is_right(held, caplog, new_state):
    caplog.set_level(logging.INFO, "polyrl")
    ours, plain = (Holder(weights=tf.Variable([1.0, 2.0])) for _ in range(2))
    hidden = [tf.Variable(0.0, name=f"hidden_{n}") for n in range(2)]

    def update(holder, own):
        own.assign_add(1.0)
        holder.weights.assign(holder.weights + own)
        return [tf.reduce_sum(holder.weights)]

    if held:
        ours.also, plain.also = hidden
    state = new_state([ours], lambda: update(ours, hidden[0]))
    call = state.compile(lambda: update(ours, hidden[0]), [])
    for _ in range(4):
        assert call()[0].numpy() == update(plain, hidden[1])[0].numpy()
    assert hidden[0].numpy() == 4.0  # Without a push: in place.
    state.push()
    np.testing.assert_array_equal(ours.weights, plain.weights)
    assert ("hidden_0" in caplog.text) == isinstance(state, CarriedState)


def test_an_assignment_in_a_branch_is_refused():
    holder = Holder(own=tf.Variable(1.0, name="counter"))

    def update():
        return tf.cond(holder.own > 0.0, lambda: holder.own.assign(2.0), lambda: tf.constant(0.0))

    with pytest.raises(NotFunctionalError, match="counter"):
        CarriedState([holder], update)
    assert isinstance(holder.own, tf.Variable)


def test_loops_that_assign_compute_as_on_plain_variables(new_state):
    ours, plain = counter_and_table(), counter_and_table()

    def loop(holder, times):
        return functional.while_loop(
            lambda n, total: n < times,
            lambda n, total: (n + 1, total + step(holder, tf.constant(1.25))[0]),
            [tf.constant(0), tf.constant(0.0)],
        )

    state = new_state([ours], lambda: step(ours, tf.constant(1.0)))
    call = state.compile(lambda times: loop(ours, times), [tf.TensorSpec([], tf.int32)])
    for times in (3, 0, 2):
        outputs = call(tf.constant(times))
        for one, two in zip(outputs, loop(plain, tf.constant(times)), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-6)
    state.push()
    assert_close(values(ours), values(plain), rtol=1e-6)


# Layers of all kinds. ---------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in LONG else kind for kind in OTHERS])
def test_layers_learn_as_on_plain_variables(kind, new_state):
    check_learning(kind, new_state)


@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layers_learn_on_plain_variables_and_xla_says_that_it_cannot_compile_them(kind):
    """Their loop over time has no static number of rounds; by that error the training loop goes on without XLA."""
    check_learning(kind, STATES["plain"])
    with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)):
        check_learning(kind, STATES["carried"])


def check_learning(kind, new_state):
    """Ten updates; float32 to 1e-4, of which XLA's order of sums takes some."""
    ours, plain = Learner(MODELS[kind]), Learner(MODELS[kind])
    for one, two in zip(ours.numbers, plain.numbers, strict=True):
        np.testing.assert_array_equal(one, two)  # They begin alike.
    spec = tf.TensorSpec([7, *ours.model.input_shape[1:]], ours.model.inputs[0].dtype)
    tf.function(ours.update, autograph=False).get_concrete_function(spec)  # As the training calls do.
    state = new_state([ours, ours.optimizer], lambda: ours.update(batch(ours.model, 0)))
    call = state.compile(ours.update, [spec])
    start = [v.numpy() for v in ours.numbers]
    losses = []
    for seed in range(10):
        losses.append([call(batch(ours.model, seed))[0].numpy(), plain.update(batch(plain.model, seed))[0].numpy()])
    np.testing.assert_allclose(*np.transpose(losses), rtol=1e-4, atol=1e-6)
    state.push()
    found = [v.numpy() for v in ours.numbers]
    assert_close(found, [v.numpy() for v in plain.numbers], rtol=1e-4, atol=1e-5)
    moved = [not np.array_equal(*pair) for pair in zip(start, found, strict=True)]
    assert np.mean(moved) > 0.5  # So that equal zeros could not pass.


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
    """The training loop then goes on without XLA, see `TrainingCalls.start`; any other error would end the run."""
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


def dropped(new_state, calls: int, loop: int = 0) -> list[np.ndarray]:
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
    state = new_state([holder], update)
    call = state.compile(update, [])
    rows = np.concatenate([call()[0].numpy() for _ in range(calls)])
    state.push()
    assert holder.count.numpy() == calls
    return list(rows)


def distinct(rows) -> int:
    return len({row.tobytes() for row in rows})


def test_dropout_draws_anew_at_each_call(generators, new_state):
    rows = dropped(new_state, 8)
    assert distinct(rows) == 8
    assert 0.4 < np.mean([row == 0.0 for row in rows]) < 0.6
    assert {*np.unique(rows)} == {0.0, 2.0}


@pytest.mark.parametrize("loop", [1, 4])
def test_dropout_draws_anew_in_each_round_of_a_loop(generators, new_state, loop):
    assert distinct(dropped(new_state, 3, loop)) == 3 * loop
