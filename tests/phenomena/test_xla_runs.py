"""A run compiled by XLA is the run without it, whatever hooks do in it, and whatever the torso is made of."""

from __future__ import annotations

import dataclasses

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from fast_testing import ACTIONS, BATCH, SLOW, STATES, model_fn_of, torso
from gymnasium.spaces import Box, Discrete
from tiny_agents import assert_equal, counters, differ, rows, weights
from tiny_envs import vector

from polyrl.configs import AdamConfig, ConstantExplorationConfig, SGDConfig
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.hooks import Hook
from polyrl.replay import PrioritizedReplay, UniformReplay


class RingEnv(gymnasium.Env):
    """Five places in a ring, one more than a third of them worth something; every episode has seven steps and begins at 0."""

    LENGTH = 7
    REWARDS = (0.0, 0.3, -0.2, 1.0, 0.1)

    def __init__(self, number: int = 0, limit: bool = False):
        self.observation_space = Box(-1, 1, (STATES,), np.float32)
        self.action_space = Discrete(ACTIONS)
        self._number, self._limit = number, limit

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place = self._t = 0
        return self._observation(), {}

    def step(self, action):
        self._place = (self._place + int(action) - 1 + self._number) % 5
        self._t += 1
        ended = self._t == self.LENGTH
        return self._observation(), self.REWARDS[self._place], ended and not self._limit, ended and self._limit, {}

    def _observation(self):
        angle = 2 * np.pi * self._place / 5
        return np.array([np.cos(angle), np.sin(angle), self._t / self.LENGTH, self._number / 3], np.float32)


class Calm(Hook):
    """Notes actions, counters and episodes."""

    def __init__(self):
        self.actions, self.counters, self.episodes = [], [], []

    def after_act(self, run):
        self.actions.append(run.actions.tolist())
        self.counters.append((run.step, run.timestep, run.episode))

    def after_episode(self, run, episode):
        self.episodes.append(dataclasses.astuple(episode))


def ring(num_envs: int):
    return vector(*(RingEnv(number, limit=number == 1) for number in range(num_envs)))


def run_agent(path, model_fn, num_envs=1, memory=None, hooks=(), jit="on", seed=0, timesteps=300, update_frequency=2):
    settings = {"save_summary_timesteps": None, "save_checkpoints_timesteps": 1_000, "max_overhead": None}
    memory = UniformReplay(100, BATCH) if memory is None else memory
    agent = Agent(model_fn, memory, path, RunConfig(seed=seed, jit=jit, **settings))
    calm = Calm()
    agent.train(ring(num_envs), first_update=20, update_frequency=update_frequency, timesteps=timesteps, hooks=[*hooks, calm])
    return agent, calm


EXPLORING = {"exploration_config": ConstantExplorationConfig(0.3), "optimizer_config": AdamConfig(0.003)}


# Whole runs. ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=SLOW), pytest.param(2, marks=SLOW)])
@pytest.mark.parametrize(("num_envs", "update_frequency"), [pytest.param(1, 2, marks=SLOW), (3, 1)])
def test_a_run_with_xla_is_the_run_without(tmp_path, num_envs, update_frequency, seed):
    """More than 200 iterations: the same actions, counters, episodes and memory, and the same weights but for rounding."""
    arguments = {"timesteps": 210 * num_envs, "update_frequency": update_frequency, "seed": seed}
    model_fn = model_fn_of("ddqn", **EXPLORING)
    (fast, seen), (plain, expected) = (
        run_agent(tmp_path / jit, model_fn, num_envs, jit=jit, **arguments) for jit in ("on", "off")
    )
    assert seen.actions == expected.actions
    assert len(seen.actions) == 210
    assert {action for row in seen.actions for action in row} == {0, 1, 2}
    assert (seen.counters, seen.episodes) == (expected.counters, expected.episodes)
    assert counters(fast) == counters(plain) == ((210 * num_envs - 20) // update_frequency, 210 * num_envs, 30 * num_envs)
    assert_equal(rows(fast), rows(plain))
    for name, value in weights(fast).items():
        np.testing.assert_allclose(value, weights(plain)[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("jit", [pytest.param("off", marks=SLOW), pytest.param("on", marks=SLOW)])
def test_a_run_resumed_in_the_middle_is_the_run_that_was_not_interrupted(tmp_path, jit):
    """At the end of an episode, with a prioritized memory of windows: bit for bit."""

    def memory():
        return PrioritizedReplay(100, BATCH, n_step=3, beta_steps=200)

    model_fn = model_fn_of("c51", **EXPLORING)
    straight, whole = run_agent(tmp_path / "straight", model_fn, 3, memory(), jit=jit, timesteps=3 * 7 * 12)
    _, first = run_agent(tmp_path / "parts", model_fn, 3, memory(), jit=jit, timesteps=3 * 7 * 5)
    resumed, second = run_agent(tmp_path / "parts", model_fn, 3, memory(), jit=jit, timesteps=3 * 7 * 7)
    assert first.counters + second.counters == whole.counters
    assert first.actions + second.actions == whole.actions
    assert first.episodes + second.episodes == whole.episodes
    assert_equal(weights(resumed), weights(straight))
    for one, two in zip(resumed.memory.variables, straight.memory.variables, strict=True):
        if "max_priority" in one.name or "level" in one.name:
            np.testing.assert_array_equal(one, two)


class Noise(tf_keras.layers.Layer):
    """Counts its updates."""

    def build(self, shape):
        self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            self.calls.assign_add(1.0)
        return x + 0.01 * self.calls


def rich_torso(mode, inputs):
    """With everything that keeps a state of its own."""
    layers = tf_keras.layers
    x = layers.Dense(8, "tanh")(inputs["state"])
    return Noise()(layers.Dropout(0.2)(layers.BatchNormalization()(x)))


class Meddling(Hook):
    """Does something at every tenth iteration."""

    def __init__(self, action):
        self._action, self.times = action, 0
        self._iterations = 0

    def after_act(self, run):
        self._iterations += 1
        if self._iterations % 10 == 0 and run.step:
            self._action(run)
            self.times += 1


ACTS = {
    "evaluation": lambda run: run.evaluate(ring(2), 3),
    "summary": lambda run: run.request_summaries(),
    "checkpoint": lambda run: run.request_checkpoint(),
    "best": lambda run: run.save_best(1.0),
    "stored": lambda run: run.stored,
}


EVERYTHING = {**ACTS, "everything": lambda run: [act(run) for act in ACTS.values()]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nothing interrupts, for each way to compute."""
    known = {}

    def get(jit):
        if jit not in known:
            path = tmp_path_factory.mktemp("undisturbed")
            known[jit] = run_agent(path, rich_model_fn(), 3, rich_memory(), jit=jit, timesteps=150)
        return known[jit]

    return get


def rich_model_fn():
    return model_fn_of("dqn", rich_torso, summaries=["loss"], **EXPLORING)


def rich_memory():
    return PrioritizedReplay(100, BATCH, beta_steps=100)


MEDDLED = [
    pytest.param("everything", "off", marks=SLOW),
    pytest.param("everything", "on", marks=SLOW),
    *(pytest.param(name, jit, marks=SLOW) for name in ACTS for jit in ("on", "off")),
]


@pytest.mark.parametrize(("name", "jit"), MEDDLED)
def test_what_a_hook_does_in_mid_run_changes_nothing_in_the_training(tmp_path, undisturbed, name, jit):
    """Bit for bit, with dropout, batch normalisation, a counting layer and priorities."""
    plain, expected = undisturbed(jit)
    meddling = Meddling(EVERYTHING[name])
    ours, seen = run_agent(tmp_path, rich_model_fn(), 3, rich_memory(), [meddling], jit, timesteps=150)
    assert meddling.times >= 4
    assert (seen.actions, seen.counters, seen.episodes) == (expected.actions, expected.counters, expected.episodes)
    assert_equal(weights(ours), weights(plain))
    assert_equal(rows(ours), rows(plain))
    for one, two in zip(ours.memory.variables, plain.memory.variables, strict=True):
        np.testing.assert_array_equal(one, two)
    calls = [value for name, value in weights(ours).items() if "online" in name and "calls" in name]
    assert calls == [counters(ours)[0]]


class Look(Hook):
    """The weights as checkpoints and evaluations see them, at some iterations, before and after they are written back."""

    def __init__(self, at):
        self._at, self.agent, self.seen = at, None, []

    def after_act(self, run):
        if run.timestep in self._at:
            assert run.stored > 0  # Which brings the variables home.
            self.seen.append(weights(self.agent()))


@pytest.mark.slow
def test_at_the_boundary_the_true_values_are_seen(tmp_path):
    """In the middle of a run with XLA, the variables are those of the run that ended there."""
    model_fn = model_fn_of("ddqn", **EXPLORING)
    look = Look((42, 63))
    settings = RunConfig(jit="on", save_summary_timesteps=None, save_checkpoints_timesteps=None, max_overhead=None)
    agent = Agent(model_fn, UniformReplay(100, BATCH), tmp_path / "whole", settings)
    look.agent = lambda: agent
    agent.train(ring(1), first_update=20, timesteps=80, hooks=[look])
    short, _ = run_agent(tmp_path / "short", model_fn, jit="on", timesteps=63, update_frequency=1)
    assert_equal(weights(short), look.seen[1])
    assert differ(*look.seen)


class SequenceEnv(gymnasium.Env):
    """States of five vectors."""

    observation_space = Box(-1, 1, (5, 2), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self._observation(), {}

    def step(self, action):
        self._t += 1
        return self._observation(), float(action), self._t == 4, False, {}

    def _observation(self):
        return np.linspace(-1, 0.2 * self._t, 10, dtype=np.float32).reshape(5, 2)


def recurrent(layer, unroll):
    return lambda mode, inputs: layer(4, unroll=unroll)(inputs["state"])


# Torsos that XLA or stand-ins do not know. ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("unroll", [True, False])
@pytest.mark.parametrize("layer", [tf_keras.layers.SimpleRNN, tf_keras.layers.LSTM, tf_keras.layers.GRU])
def test_a_recurrent_torso_trains_with_xla_as_without(tmp_path, layer, unroll):
    """XLA does not compile the gradient of a loop over time; the run then goes on without it."""
    model_fn = model_fn_of("dqn", recurrent(layer, unroll), (5, 2), 2, optimizer_config=SGDConfig(0.1))
    found = []
    for jit in ("off", "on"):
        settings = RunConfig(jit=jit, save_summary_timesteps=None, save_checkpoints_timesteps=None, max_overhead=None)
        agent = Agent(model_fn, UniformReplay(50, BATCH), tmp_path / jit, settings)
        agent.train(SequenceEnv(), first_update=BATCH, timesteps=20)
        found.append(weights(agent))
    for name in found[0]:
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-4, atol=1e-5, err_msg=name)


class Scattered(tf_keras.layers.Layer):
    def build(self, shape):
        self.counts = self.add_weight(name="counts", shape=shape[-1:], initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            self.counts.scatter_add(tf.IndexedSlices(tf.ones([1]), tf.constant([1])))
        return x


@pytest.mark.slow
def test_a_layer_that_a_stand_in_does_not_suit_trains_without_xla(tmp_path):
    model_fn = model_fn_of("dqn", lambda mode, inputs: Scattered()(torso(mode, inputs)))
    agent, _ = run_agent(tmp_path, model_fn, timesteps=30)
    assert counters(agent)[0] == 5
