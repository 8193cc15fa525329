"""Panels of activations: whatever the layers of a torso give, the summaries take it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv

from polyrl.models import DQNModel

layers = tf_keras.layers


class Scaled(layers.Layer):
    """A layer with a weight, whose output is that of a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def build(self, shape):
        self.factor = self.add_weight(name="factor", shape=[], initializer="ones")

    def call(self, inputs):
        return self.function(inputs * self.factor)


class Function(layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs):
        return tf.ensure_shape(self.function(inputs), [None, 4])


def many(x):
    return {
        "a": x,
        "b": tf.argmax(x, axis=1),
        "c": x > 0.0,
        "d": tf.as_string(x),
        "e": tf.reduce_sum(x),
        "f": x[:, :, None, None],
    }


def elsewhere(x):
    """The layer's last call is on the input of another model."""
    dense = layers.Dense(4)
    output, other = dense(x), tf_keras.Input((4,))
    tf_keras.Model(other, dense(other))
    return output


def ramp(x):
    return tf.maximum(x, 0.0)


TORSOS = {
    "states": (
        lambda x: layers.LSTM(3, return_state=True)(x[:, :, None])[0],
        {"lstm/0": [6, 3], "lstm/1": [6, 3], "lstm/2": [6, 3]},
    ),
    "dict": (
        lambda x: Scaled(many)(x)["a"],
        {"scaled/0": [6, 4], "scaled/1": [6], "scaled/2": [6, 4], "scaled/4": [], "scaled/5": [6, 4, 1, 1]},
    ),
    "ragged": (lambda x: Function(lambda y: y.to_tensor())(Scaled(tf.RaggedTensor.from_tensor)(x)), {"scaled": [24]}),
    "sparse": (lambda x: Function(tf.sparse.to_dense)(Scaled(tf.sparse.from_dense)(x)), {"scaled": [24]}),
    "integers": (
        lambda x: tf.cast(Scaled(lambda y: tf.cast(y, tf.int64))(x), tf.float32) + layers.Dense(4)(x),
        {"scaled": [6, 4], "dense": [6, 4]},
    ),
    "elsewhere": (elsewhere, {"dense": [6, 4]}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TORSOS)
def test_the_outputs_of_a_layer_are_shown_one_by_one_as_floats(dqn, batch, name):
    torso, shapes = TORSOS[name]
    model = dqn("train", graph_fn=lambda mode, inputs: torso(inputs["state"]), summaries=["activations"])
    summaries = model(*batch()).extra_ops["summaries"]
    heads = {"advantage": [6, 3], "value": [6, 1]}
    expected = {f"activations/{label}": shape for label, shape in {**shapes, **heads}.items()}
    assert {tag: list(value.shape) for tag, value in summaries.histograms.items()} == expected
    assert {value.dtype for value in summaries.histograms.values()} == {tf.float32}
    own = [tag for tag in expected if tag.startswith("activations/scaled")]  # What they do to zeros is not known.
    assert set(summaries.scalars) == {f"{tag}/zero_fraction" for tag in own}


def test_zero_fractions_of_several_outputs(dqn, batch):
    torso = Scaled(lambda x: (x, tf.zeros_like(x, tf.int32)))
    with pytest.raises(ValueError, match="must create its layers inside"):
        dqn("train", graph_fn=lambda mode, inputs: torso(inputs["state"])[0])(batch()[0])

    def inside(mode, inputs):
        return Scaled(lambda x: (x, tf.zeros_like(x, tf.int32)))(inputs["state"])[0]

    scalars = dqn("train", graph_fn=inside, summaries=["activations"])(*batch()).extra_ops["summaries"].scalars
    found = [float(scalars[f"activations/scaled/{index}/zero_fraction"]) for index in range(2)]
    np.testing.assert_array_equal(found, [0.0, 1.0])


@pytest.mark.default_cases(5)
@pytest.mark.parametrize(
    ("name", "make", "shown"),
    [
        ("dense", lambda: layers.Dense(4, "relu"), True),
        ("dense", lambda: layers.Dense(4, tf.nn.relu6), True),
        ("dense", lambda: layers.Dense(4, ramp), True),
        ("dense", lambda: layers.Dense(4, layers.ReLU()), True),
        ("scaled", lambda: Scaled(tf.nn.relu), True),
        ("sequential", lambda: tf_keras.Sequential([layers.Dense(4), layers.ReLU()]), True),
        ("dense", lambda: layers.Dense(4), False),
        ("dense", lambda: layers.Dense(4, tf.tanh), False),
        ("dense", lambda: layers.Dense(4, "elu"), False),
        ("sequential", lambda: tf_keras.Sequential([layers.Dense(4, "relu"), layers.Dense(4)]), False),
        ("layer_normalization", layers.LayerNormalization, False),
    ],
)
def test_zeros_are_counted_where_they_can_be_and_only_there(dqn, batch, name, make, shown):
    """The panel of a linear layer was a line at 0, in every run."""
    model = dqn("train", graph_fn=lambda mode, inputs: make()(inputs["state"]), summaries=["activations"])
    summaries = model(*batch()).extra_ops["summaries"]
    assert f"activations/{name}" in summaries.histograms
    assert set(summaries.scalars) == ({f"activations/{name}/zero_fraction"} if shown else set())


@pytest.mark.slow
def test_a_run_continues_after_its_first_summaries(tmp_path):
    def torso(mode, inputs):
        return TORSOS["states"][0](inputs["state"]) + TORSOS["dict"][0](inputs["state"])[:, :3]

    def model_fn(features, labels, mode):
        return DQNModel(mode, torso, 4, 3)(features, labels)

    agent = make_agent(model_fn, model_dir=tmp_path, save_summary_timesteps=10)
    assert agent.train(ScheduleEnv(), max_timesteps=30, first_update=4).global_timestep == 30
