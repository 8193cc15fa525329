"""Runs whose torso computes in bfloat16: they learn, resume exactly, and their weights serve in float32, too."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete
from tiny_agents import assert_equal, differ, make_agent, weights

from polyrl.configs import AdamConfig, DecayExplorationConfig
from polyrl.errors import CheckpointMismatchError
from polyrl.estimators import exports
from polyrl.models import DQNModel
from polyrl.networks import cnn
from polyrl.serving import formats


class Lights(gymnasium.Env):
    """One of three columns of an image is lit; the action that names it is worth 1. Four steps an episode."""

    observation_space, action_space = Box(0, 255, [5, 3, 1], np.uint8), Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._lit(), {}

    def step(self, action):
        self.steps += 1
        right = int(action) == self.column
        return self._lit(), float(right), self.steps == 4, False, {}

    def _lit(self):
        self.column = int(self.np_random.integers(3))
        image = np.zeros([5, 3, 1], np.uint8)
        image[:, self.column] = 200
        return image


def model_fn(precision):
    def build(features, labels, mode):
        torso = cnn([8], [32], precision=precision)
        settings = {
            "discount": 0.5,
            "optimizer_config": AdamConfig(learning_rate=0.003),
            "exploration_config": DecayExplorationConfig(exploration_rate=1.0, min_exploration_rate=0.1, decay_steps=300),
        }
        return DQNModel(mode, torso, (5, 3, 1), 3, summaries=[], **settings)(features, labels)

    return build


def new_agent(model_dir, precision="bfloat16", seed=1):
    return make_agent(model_fn(precision), model_dir=model_dir, batch_size=16, seed=seed, save_checkpoints_timesteps=100)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that was never interrupted, and its directory."""
    agent = new_agent(tmp_path_factory.mktemp("bfloat16"))
    agent.train(Lights(), max_timesteps=400, first_update=20)
    return agent


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def test_it_learns_the_optimum(tmp_path, seed):
    agent = new_agent(tmp_path, seed=seed)
    agent.train(Lights(), max_timesteps=400, first_update=20)
    assert agent.evaluate(Lights(), episodes=10)["mean_reward"] == 4.0


def test_it_resumes_exactly(trained, tmp_path):
    for timesteps in (150, 151, 400):
        again = new_agent(tmp_path)
        again.train(Lights(), max_timesteps=timesteps, first_update=20)
    assert_equal(weights(again), weights(trained))
    other = new_agent(tmp_path / "other", "float32")
    other.train(Lights(), max_timesteps=400, first_update=20)
    assert differ(weights(other), weights(trained))


def test_the_weights_serve_in_float32_but_are_not_trained_so(trained):
    plain = new_agent(trained.model_dir, "float32")
    images = np.stack([Lights().reset(seed=seed)[0] for seed in range(5)])
    expected, found = (each.predictor().predictions(images) for each in (trained, plain))
    np.testing.assert_array_equal(found["results"], expected["results"])
    assert found["q"].dtype == np.float32
    assert 0.0 < np.max(np.abs(found["q"] - expected["q"])) < 0.02
    with pytest.raises(CheckpointMismatchError, match=r"\(Conv2D\): dtype=mixed_bfloat16 there, float32 now|the layers "):
        plain.train(Lights(), timesteps=4, first_update=20)


@pytest.mark.slow
def test_an_export_in_another_precision_is_another_export(trained, tmp_path):
    plain = new_agent(trained.model_dir, "float32")
    first, again, other = (exports.export(each.predictor(), tmp_path) for each in (trained, trained, plain))
    assert (first.is_new, again.is_new, other.is_new) == (True, False, True)
    # The weights alone may tell them apart, by another order; that is not certain.
    identities = [exports.identity_of(each.predictor()) for each in (trained, plain)]
    assert [identity.get("precision") for identity in identities] == [["bfloat16"], None]
    images = tf.constant(np.stack([Lights().reset(seed=seed)[0] for seed in range(5)]))
    found = formats.caller("saved_model", first.path)({"state": images.numpy()})
    np.testing.assert_array_equal(found["q"], trained.predictor().predictions(images.numpy())["q"])


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_formats_without_bfloat16_say_what_to_do(trained, tmp_path, format):
    if format == "onnx":
        pytest.importorskip("tf2onnx")
    with pytest.raises(ValueError, match=rf"export_format='{format}' cannot .* bfloat16. Use saved_model, or .*float32"):
        exports.export(trained.predictor(), tmp_path, format)
    assert list(tmp_path.glob("[0-9]*")) == []
    if format == "tflite":
        assert exports.export(new_agent(trained.model_dir, "float32").predictor(), tmp_path, format).is_new
