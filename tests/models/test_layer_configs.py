"""What a checkpoint notes of the layers: networks that compute something else differ in it, the same built again does not."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.models import DQNModel, Scope
from polyrl.models.layer_configs import differences, layer_configs, without_precision

layers = tf_keras.layers


class Scaled(layers.Layer):
    """A layer of a user's own; tf-keras notes what its constructor was given."""

    def __init__(self, scale, offsets=None):
        super().__init__()
        self._scale, self._offsets = scale, offsets

    def call(self, inputs):
        return inputs * self._scale


class Secret(layers.Layer):
    """One whose `get_config` fails."""

    def get_config(self):
        raise NotImplementedError("not for sale")


def network(activation="relu", rate=0.1, scale=2.0, offsets=None, inner=3, initializer="zeros", last=layers.ReLU):
    inputs = layers.Input([4])
    x = layers.Dense(4, activation, kernel_initializer=initializer)(inputs)
    x = layers.Dropout(rate)(x)
    x = Scaled(scale, offsets)(x)
    x = tf_keras.Sequential([layers.Dense(inner), Secret()])(x)
    x = layers.RNN(layers.GRUCell(2))(layers.Reshape([1, inner])(x)) * 2.0
    return tf_keras.Model(inputs, last()(x))


def read_back(model):
    """As a later run finds it in the checkpoint."""
    return json.loads(json.dumps(layer_configs(model)))


def test_the_same_network_built_again_is_the_same():
    arrays = {"offsets": np.arange(2.0)}
    assert differences(read_back(network(**arrays)), layer_configs(network(**arrays))) == []
    assert differences(read_back(network(offsets=object())), layer_configs(network(offsets=object()))) == []


def test_how_variables_begin_makes_no_difference():
    assert differences(read_back(network()), layer_configs(network(initializer="ones"))) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"activation": "tanh"}, "layer 1 (Dense): activation=relu there, tanh now"),
        ({"rate": 0.5}, "layer 2 (Dropout): rate=0.1 there, 0.5 now"),
        ({"scale": 3.0}, "layer 3 (Scaled): scale=2.0 there, 3.0 now"),
        ({"offsets": [1.0, 1.0]}, "layer 3 (Scaled): offsets=None there, [1.0, 1.0] now"),
        ({"inner": 5}, "layer 4 (Sequential): layer 0 (Dense): units=3 there, 5 now"),
    ],
)
def test_what_differs_is_named_with_its_layer(changed, words):
    assert words in differences(read_back(network()), layer_configs(network(**changed)))


def cast_network(dtype, units=3):
    inputs = layers.Input([4])
    inner = tf_keras.Sequential([layers.Dense(units, dtype=dtype)])
    x = inner(layers.TimeDistributed(layers.Dense(2, dtype=dtype), dtype=dtype)(layers.Reshape([2, 2])(inputs))[:, 0])
    return tf_keras.Model(inputs, x if dtype == "float32" else tf.cast(x, tf.float32))


def test_precisions_differ_unless_they_are_left_out():
    plain, half, brain = (read_back(cast_network(dtype)) for dtype in ("float32", "mixed_float16", "mixed_bfloat16"))
    assert "the layers" in differences(plain, brain)[0]
    assert any("dtype=mixed_float16 there, mixed_bfloat16 now" in each for each in differences(half, brain))
    assert differences(without_precision(plain), without_precision(brain)) == []
    (words,) = differences(without_precision(plain), without_precision(read_back(cast_network("float32", units=5))))
    assert words.endswith("units=3 there, 5 now")


def test_other_layers_are_named_all():
    (words,) = differences(read_back(network()), layer_configs(network(last=layers.Softmax)))
    assert words.startswith("the layers InputLayer, Dense, Dropout, Scaled, Sequential, ")
    assert words.endswith("TFOpLambda, Softmax now")


# Constants. -------------------------------------------------------------------------------------------------------------


def with_constants(scale=2.0, table=None, index=0):
    inputs = layers.Input([4])
    x = tf.matmul(inputs * scale, np.ones([4, 4], np.float32) if table is None else table)
    return tf_keras.Model(inputs, tf.concat([x[:, index:], tf.constant([[scale]]) + x[:, :1]], axis=1))


def test_the_same_constants_do_not_differ():
    assert differences(layer_configs(with_constants()), json.loads(json.dumps(layer_configs(with_constants())))) == []


@pytest.mark.parametrize("other", [{"scale": 3.0}, {"table": np.eye(4, dtype=np.float32)}, {"index": 1}], ids=str)
def test_other_constants_of_an_operation_differ(other):
    found = differences(layer_configs(with_constants()), layer_configs(with_constants(**other)))
    assert found
    assert all("constants=" in each for each in found)


GENERATOR = np.random.default_rng()


def drawn(mode, inputs):
    return layers.Dense(4)(inputs["state"] * GENERATOR.normal(size=4).astype(np.float32))


def drawn_in_a_lambda(mode, inputs):
    factor = GENERATOR.normal(size=4).astype(np.float32)
    return layers.Dense(4)(layers.Lambda(lambda x: x * factor)(inputs["state"]))


def numpys_own(mode, inputs):
    return layers.Dense(4)(inputs["state"] * np.random.normal(size=4).astype(np.float32))


@pytest.mark.parametrize("graph_fn", [drawn, drawn_in_a_lambda])
def test_a_graph_function_that_draws_another_constant_at_each_call_is_refused(graph_fn, batch):
    with Scope().active(), pytest.raises(ValueError, match=r"graph_fn builds another network at each call.*once, outside"):
        DQNModel("train", graph_fn, num_states=4, num_actions=3)(*batch())


def test_numpys_random_numbers_are_the_same_in_each_network_mode_and_process(batch):
    features, labels = batch()
    state = np.random.get_state()[1].copy()
    found = []
    for _ in range(2):
        scope = Scope(seed=3)
        with scope.active():
            for mode in ("train", "eval", "infer"):
                DQNModel(mode, numpys_own, num_states=4, num_actions=3)(features, None if mode == "infer" else labels)
        online, target = (scope.parts[f"Model/{part}"] for part in ("online", "target"))
        modes = [online(features["state"], mode).q for mode in ("train", "eval", "infer")]
        found += [*modes, target(features["state"]).q]
    for each in found:
        np.testing.assert_array_equal(each, found[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state)
