"""Training on small boards in the graph: XLA compiles it, the run is the one without XLA, is learned, and resumes exactly."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tiny_agents import assert_equal, make_agent, rows, weights

from polyrl.configs import AdamConfig, ConstantExplorationConfig
from polyrl.engine.compiler import Compiler
from polyrl.envs.compiled import CompiledEnvironment, StepOutput
from polyrl.estimators.hooks import Hook
from polyrl.models import DQNModel
from polyrl.networks import cnn

COLUMNS = 3
PLACES = 5 * COLUMNS


class Lamp(CompiledEnvironment):
    """A lamp that moves in three columns, another one in a second channel; the column of the first is the action that pays."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (5, COLUMNS, 2), np.float32)
    action_space = gymnasium.spaces.Discrete(COLUMNS)
    max_episode_steps = 8

    def reset(self, num_envs, seed):
        places = tf.range(num_envs) % 4  # What is drawn would not be the same with XLA.
        return tf.stack([places, 2 * places], -1)

    def step(self, state, action, seed):
        paid = tf.cast(tf.equal(state[:, 0] % COLUMNS, action), tf.float32)
        return StepOutput((state + tf.constant([[4, 7]])) % PLACES, paid, tf.zeros_like(paid, tf.bool))

    def observe(self, state):
        lamp = tf.reshape(tf.one_hot(state[:, 0], PLACES), [-1, 5, COLUMNS])
        noise = tf.reshape(tf.one_hot(state[:, 1], PLACES), [-1, 5, COLUMNS])
        return tf.stack([lamp, noise], -1)


class Actions(Hook):
    """Notes the latest action of each call."""

    def __init__(self):
        self.actions = []

    def after_act(self, run):
        self.actions.append(run.actions.tolist())


@pytest.fixture
def compiled_with(monkeypatch):
    """Notes whether XLA compiles the calls of each run."""
    notes, start = [], Compiler.start

    def noting(self, roots, probe, xla, form):
        notes.append(xla)
        return start(self, roots, probe, xla, form)

    monkeypatch.setattr(Compiler, "start", noting)
    return notes


def agent_on_boards(torso, **config):
    def model_fn(features, labels, mode):
        exploring = {"optimizer_config": AdamConfig(0.003), "exploration_config": ConstantExplorationConfig(0.2)}
        return DQNModel(mode, torso, (5, COLUMNS, 2), COLUMNS, discount=0.0, summaries=[], **exploring)(features, labels)

    return make_agent(model_fn, batch_size=16, **config)


def own_torso(mode, inputs):
    """With tf-keras's own convolution, which keeps XLA out."""
    return tf_keras.layers.Flatten()(tf_keras.layers.Conv2D(4, 2, activation="relu")(inputs["state"]))


@pytest.mark.parametrize(("torso", "xla"), [(cnn([8], [16]), True), (own_torso, False)], ids=["cnn", "own"])
def test_a_lamp_is_followed_with_xla_and_without(compiled_with, torso, xla):
    agent = agent_on_boards(torso, jit="auto")
    agent.train(Lamp(4), first_update=50, update_frequency=4, timesteps=4_000)
    assert compiled_with == [xla]
    assert agent.evaluate(Lamp(4), episodes=20)["mean_reward"] == 8.0


@pytest.mark.slow
def test_the_run_with_xla_is_the_run_without(compiled_with):
    runs = []
    for jit in ("on", "off"):
        agent, noted = agent_on_boards(cnn([4, 8], [16], kernel_size=2), jit=jit), Actions()
        agent.train(Lamp(2), first_update=50, update_frequency=2, timesteps=400, hooks=[noted])
        runs.append((agent, noted.actions))
    assert compiled_with == [True, False]
    (fast, acted), (plain, expected) = runs
    assert acted == expected
    assert_equal(rows(fast), rows(plain))
    for name, value in weights(fast).items():
        np.testing.assert_allclose(value, weights(plain)[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_a_run_with_xla_that_is_resumed_is_the_run_that_was_not_interrupted(tmp_path, compiled_with):
    agents = []
    for name, parts in (("whole", [1_000]), ("parts", [400, 1_000])):
        for timesteps in parts:
            agent = agent_on_boards(cnn([8], [16]), model_dir=tmp_path / name, jit="on")
            agent.train(Lamp(2), first_update=50, update_frequency=2, max_timesteps=timesteps)
        agents.append(agent)
    assert compiled_with == [True] * 3
    whole, resumed = agents
    assert_equal(weights(resumed), weights(whole))
    assert_equal(rows(resumed), rows(whole))
