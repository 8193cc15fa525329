"""The recurrent layer against tf-keras's cells, step by step: outputs, what is remembered, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.networks import Recurrent, SameInEveryMode, mlp, recurrent
from polyrl.networks.unrolling import Unroll, unrolling

S, T, SIZE, UNITS = 3, 5, 4, 6
CELLS = {"lstm": tf_keras.layers.LSTMCell, "gru": tf_keras.layers.GRUCell}
RNG = np.random.default_rng(0)
DATA = tf.constant(RNG.normal(size=[S * T, SIZE]), tf.float32)
SHARES = tf.constant(RNG.normal(size=[S * T, UNITS]), tf.float32)
ENDED = tf.constant(RNG.random([S, T]) < 0.4, tf.float32)


def model_of(cell):
    """A model of one recurrent layer, with weights that are not as at the start, a state, and a cell with those weights."""
    inputs = tf_keras.Input([SIZE])
    layer = Recurrent(UNITS, cell)
    model = tf_keras.Model(inputs, layer(inputs))
    model.set_weights([weight + RNG.normal(size=weight.shape) / 10 for weight in model.get_weights()])
    twin = CELLS[cell](UNITS)
    twin.build([None, SIZE])
    twin.set_weights(model.get_weights())
    return model, twin, tf.constant(RNG.normal(size=[S, layer.state_size]), tf.float32)


def step_by_step(cell, data, state, ended, burn_in):
    """Outputs and states of tf-keras's cell, `[S T, ...]`."""
    sequences = tf.reshape(data, [S, T, SIZE])
    parts = tf.split(state, state.shape[1] // UNITS, axis=1)
    outputs, states = [], []
    for t in range(T):
        if t > 0:
            parts = [part * (1.0 - ended[:, t - 1, tf.newaxis]) for part in parts]
        if t == burn_in:
            parts = [tf.stop_gradient(part) for part in parts]
        output, parts = cell(sequences[:, t], parts)
        parts = tf.nest.flatten(parts)
        outputs.append(output)
        states.append(tf.concat(parts, axis=1))
    return tf.reshape(tf.stack(outputs, 1), [S * T, -1]), tf.reshape(tf.stack(states, 1), [S * T, -1])


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("jit", [None, False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("burn_in", [0, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_it_is_tf_kerass_cell_step_by_step(cell, burn_in, jit):
    model, twin, state = model_of(cell)

    def own(data):
        with tf.GradientTape() as tape:
            tape.watch(data)
            with unrolling(Unroll(state, ENDED, burn_in)) as forward:
                outputs = model(data)
            loss = tf.reduce_sum(outputs * SHARES)
        return outputs, forward.states, tape.gradient(loss, [data, *model.trainable_variables])

    with tf.GradientTape() as tape:
        tape.watch(DATA)
        outputs, states = step_by_step(twin, DATA, state, ENDED, burn_in)
        loss = tf.reduce_sum(outputs * SHARES)
    gradients = tape.gradient(loss, [DATA, *twin.trainable_variables])
    found = (own if jit is None else tf.function(own, autograph=False, jit_compile=jit))(DATA)
    np.testing.assert_allclose(found[0], outputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1], states, rtol=1e-5, atol=1e-6)
    for gradient, expected in zip(found[2], gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_a_gradient_through_the_states_themselves_is_right_too(cell):
    """By differences: what is remembered at the end depends on the first inputs."""
    model, _, state = model_of(cell)
    ended = tf.zeros([S, T])

    def last(data):
        with unrolling(Unroll(state, ended)) as forward:
            model(data)
        return tf.reduce_sum(tf.reshape(forward.states, [S, T, -1])[:, -1])

    with tf.GradientTape() as tape:
        tape.watch(DATA)
        value = last(DATA)
    gradient = tape.gradient(value, DATA).numpy()
    change = 1e-2 * tf.one_hot([0], S * T)[0][:, tf.newaxis] * tf.constant([[1.0, 0.0, 0.0, 0.0]])
    slope = (last(DATA + change) - last(DATA - change)) / 2e-2
    np.testing.assert_allclose(gradient[0, 0], slope, rtol=2e-2, atol=1e-4)


def test_what_happens_after_an_end_does_not_depend_on_what_was_before_it():
    model, _, state = model_of("lstm")
    ended = tf.constant([[0.0, 1.0, 0.0, 0.0, 0.0]] * S)
    other = DATA + tf.reshape(tf.constant([1.0, 1.0, 0.0, 0.0, 0.0] * S), [-1, 1])
    found = []
    for data in (DATA, other):
        with unrolling(Unroll(state, ended)):
            found.append(tf.reshape(model(data), [S, T, -1]).numpy())
    assert not np.allclose(found[0][:, :2], found[1][:, :2])
    np.testing.assert_array_equal(found[0][:, 2:], found[1][:, 2:])


def test_without_being_told_each_row_is_the_first_of_an_episode():
    model, twin, _ = model_of("gru")
    np.testing.assert_allclose(model(DATA), twin(DATA, tf.zeros([S * T, UNITS]))[0], rtol=1e-5, atol=1e-6)


def test_two_layers_have_a_part_of_the_state_each():
    inputs = tf_keras.Input([SIZE])
    first, second = Recurrent(3, "gru"), Recurrent(2, "lstm")
    model = tf_keras.Model(inputs, second(first(inputs)))
    state = tf.constant(RNG.normal(size=[S, 3 + 4]), tf.float32)
    data = DATA[:S]
    with unrolling(Unroll(state)) as forward:
        model(data)
    middle, _ = first.cell(data, state[:, :3])
    _, parts = second.cell(middle, [state[:, 3:5], state[:, 5:]])
    np.testing.assert_allclose(forward.states, tf.concat([middle, *parts], axis=1), rtol=1e-5, atol=1e-6)


def test_a_state_that_is_too_small_is_refused():
    model, _, state = model_of("lstm")
    with (
        pytest.raises(ValueError, match=r"network_state has shape \(3, 11\), .* at least 12 numbers"),
        unrolling(Unroll(state[:, :-1])),
    ):
        model(DATA[:S])


@pytest.mark.parametrize("shape", [[5, 3], [24, 3], []])
def test_anything_but_rows_of_numbers_is_refused(shape):
    with pytest.raises(ValueError, match=r"Recurrent takes one row of numbers for each state, \[B, n\]"):
        Recurrent(6)(tf_keras.Input(shape))


def test_a_copy_by_its_config_is_the_same_layer():
    layer = Recurrent(5, "gru", name="memory")
    copy = Recurrent.from_config(layer.get_config())
    assert (copy.units, copy.kind, copy.name, copy.state_size) == (5, "gru", "memory", 5)


def test_a_torso_ends_with_it():
    plain = recurrent(lambda mode, inputs: tf_keras.layers.Dense(4)(inputs), 7)
    same = recurrent(mlp([4]), 7, "gru")
    assert not isinstance(plain, SameInEveryMode)
    assert isinstance(same, SameInEveryMode)
    for graph in (plain, same):
        assert graph("eval", tf_keras.Input([SIZE])).shape.as_list() == [None, 7]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Recurrent(0), ValueError, "units=0"),
        (lambda: Recurrent(4, "rnn"), ValueError, "cell='rnn' must be one of 'lstm', 'gru'"),
        (lambda: recurrent(mlp([4]), 4, "rnn"), ValueError, "cell='rnn'"),
        (lambda: recurrent(mlp([4]), -1), ValueError, "units=-1"),
        (lambda: recurrent(4), TypeError, "torso=4"),
        (lambda: recurrent(tf_keras.layers.Dense(4)), TypeError, "torso="),
    ],
)
def test_a_wrong_argument_is_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()
