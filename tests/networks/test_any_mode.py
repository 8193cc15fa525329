"""Graph functions that are not told the mode have one graph for all three."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.models import QModelSpec, QNetwork
from polyrl.models.graph_functions import as_graph_fn
from polyrl.models.networks import torso_and_heads
from polyrl.models.same_function import function_difference
from polyrl.networks import SameInEveryMode, cnn, embedding_mlp, mlp, nature_cnn

layers = tf_keras.layers
MODES = ("train", "eval", "infer")


def head(features):
    q = layers.Dense(2)(features)
    return QModelSpec(features, None, None, q)


def network_of(graph_fn) -> QNetwork:
    return QNetwork(torso_and_heads(graph_fn, head), tf.TensorSpec([None, 3]), seed=0, name="q")


def values(network, training=False):
    return {mode: network(np.ones([2, 3], np.float32), mode, training=training).q.numpy() for mode in MODES}


@pytest.mark.parametrize("given", [mlp([5]), as_graph_fn(tf_keras.Sequential([layers.Dense(5)]))], ids=["torso", "model"])
def test_it_is_built_once(given):
    calls = []

    def build(inputs):
        calls.append(inputs)
        return given.build(inputs)

    q = values(network_of(SameInEveryMode(build)))
    assert len(calls) == 1
    np.testing.assert_array_equal(q["train"], q["eval"])
    np.testing.assert_array_equal(q["train"], q["infer"])


def test_other_functions_are_built_in_each_mode():
    modes = []

    def graph_fn(mode, inputs):
        modes.append(mode)
        return layers.Dense(5)(inputs)

    network_of(graph_fn)
    assert modes == list(MODES)


@pytest.mark.parametrize("torso", [mlp(), embedding_mlp(5), nature_cnn(), cnn()])
def test_the_ready_made_torsos_are_not_told(torso):
    assert isinstance(torso, SameInEveryMode)


def test_a_function_around_a_torso_is_still_told():
    torso = mlp([5])

    @functools.wraps(torso)
    def graph_fn(mode, inputs):
        return torso(mode, inputs) * (0.0 if mode == "eval" else 1.0)

    q = values(network_of(graph_fn))
    np.testing.assert_array_equal(q["train"], q["infer"])
    assert not np.array_equal(q["train"], q["eval"])


def test_dropout_follows_training():
    network = network_of(SameInEveryMode(lambda state: layers.Dropout(0.5)(layers.Dense(64)(state))))
    at_rest, learning = values(network), values(network, training=True)
    np.testing.assert_array_equal(at_rest["eval"], at_rest["train"])
    for mode in MODES:
        assert not np.array_equal(learning[mode], at_rest[mode])


def test_other_torsos_are_told_apart():
    assert function_difference(mlp([5]), mlp([5])) is None
    assert "[6]" in function_difference(mlp([5]), mlp([6]))
    assert function_difference(mlp([5]), nature_cnn()) is not None


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda mode, inputs: inputs, r"build\(inputs\), without the mode; this one takes \(mode, inputs\)"),
        (lambda: None, r"this one takes \(\)"),
        (5, "build=5 must be a function"),
        (mlp(), "a SameInEveryMode already"),
    ],
)
def test_what_is_not_a_function_of_the_inputs_alone_is_refused(build, words):
    with pytest.raises(TypeError, match=words):
        SameInEveryMode(build)
