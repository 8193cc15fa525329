"""Continuous actions through the agent: NAF learns, memories keep them, predictions and environments get them."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from continuous_testing import BATCH, LENGTH, PROCESS, SLOW, naf_fn, run, targets
from gymnasium.spaces import Box
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_agents import counters, q_model_fn, rows, weights
from tiny_envs import BanditEnv, TargetEnv, vector

from polyrl import configs
from polyrl.configs import (
    AdamConfig,
    ConstantExplorationConfig,
    RandomDecayExplorationConfig,
    RandomExplorationConfig,
)
from polyrl.envs import EnvDriver
from polyrl.replay import PrioritizedReplay, UniformReplay

LOW, HIGH = np.array(TargetEnv.LOW), np.array(TargetEnv.HIGH)


# Learning. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [pytest.param(False, marks=SLOW), True])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=SLOW)])
def test_naf_learns_the_best_action_of_each_state(tmp_path, seed, overlap):
    """Two numbers of different ranges. Actions at random cost about 1 on average; the best cost nothing."""
    learning = {"optimizer_config": AdamConfig(0.003), "clip_gradients": None, "target_update_frequency": 1}
    noise = RandomDecayExplorationConfig(1.0, decay_steps=800, min_exploration_rate=0.1)
    agent, _ = run(
        tmp_path,
        naf_fn(32, exploration_config=noise, **learning),
        vector(*(TargetEnv() for _ in range(4))),
        UniformReplay(10_000, 64),
        timesteps=2_400,
        overlap=overlap,
        seed=seed,
    )
    assert agent.evaluate("polyrl/TinyTarget-v0", 30)["mean_reward"] > -0.02
    for point, best in enumerate(TargetEnv.TARGETS):
        action = agent.act(np.eye(3, dtype=np.float32)[point])
        np.testing.assert_allclose((action - best) / ((HIGH - LOW) / 2), np.zeros(2), atol=0.15)


# Memories. --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_step", "memory"),
    [
        (1, UniformReplay),
        (3, PrioritizedReplay),
        pytest.param(1, PrioritizedReplay, marks=SLOW),
        pytest.param(3, UniformReplay, marks=SLOW),
    ],
)
def test_memories_keep_numbers_as_they_were_done(tmp_path, memory, n_step):
    """Each row's action is one that the environment got, bit for bit; and updates happen."""
    env = TargetEnv(LENGTH)
    agent, _ = run(tmp_path, naf_fn(), vector(env), memory(100, BATCH, n_step=n_step), timesteps=60)
    stored = rows(agent)["action"]
    assert (stored.dtype, stored.shape[1:]) == (np.float32, (2,))
    np.testing.assert_array_equal(stored[:60], np.array(env.actions)[:60])
    assert counters(agent)[0] == 26
    assert all(np.isfinite(value).all() for value in weights(agent).values())


# Acting. ----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_acting_gives_an_array_for_one_state_and_for_many(tmp_path):
    agent, _ = run(tmp_path, naf_fn(), timesteps=20)
    one, many = agent.act(np.eye(3)[0]), agent.act(np.eye(3))
    assert isinstance(one, np.ndarray)
    assert (one.shape, one.dtype, many.shape) == ((2,), np.float32, (3, 2))
    np.testing.assert_allclose(one, many[0], rtol=1e-6)
    assert ((many >= LOW) & (many <= HIGH)).all()


@pytest.mark.slow
def test_predictions_are_those_of_each_step(tmp_path):
    agent, _ = run(tmp_path, naf_fn(), timesteps=20)
    steps = list(agent.predict(TargetEnv(LENGTH), episodes=2))
    assert len(steps) == 2 * LENGTH
    for step in steps:
        assert step["results"].shape == step["mean"].shape == (2,)
        assert np.shape(step["q"]) == ()
        np.testing.assert_allclose(step["results"], agent.act(step["state"]), rtol=1e-5)


@pytest.mark.slow
def test_an_evaluation_acts_by_the_mean_and_reports_a_loss(tmp_path):
    agent, _ = run(tmp_path, naf_fn(exploration_config=RandomExplorationConfig()), timesteps=20)
    env = TargetEnv(LENGTH)
    result = agent.evaluate(env, 3)
    assert np.isfinite(result["loss"])
    best = {tuple(action.round(4)) for action in agent.act(np.eye(3))}
    assert {tuple(action.round(4)) for action in env.actions} <= best


class PickyEnv(gymnasium.Env):
    """Takes float64 within bounds that float32 rounds outwards."""

    observation_space = Box(0, 1, (3,), np.float32)
    action_space = Box(-0.1, 0.1, (2,), np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return np.zeros(3, np.float32), 0.0, True, False, {}


# The environment's side. ------------------------------------------------------------------------------------------------


def test_an_environment_of_float64_gets_its_own_bounds_and_none_beyond():
    assert float(np.float32(0.1)) > 0.1
    driver = EnvDriver(vector(PickyEnv()))
    driver.reset([0])
    for end in (-0.1, 0.1):
        transitions, _ = driver.step(np.full([1, 2], end, np.float32))
        assert transitions.action.dtype == np.float32


LOGGED = [
    ("naf", PROCESS, 0.3),
    ("dqn", configs.BoltzmannExplorationConfig(8.0, 2.0, 10), 2.0),
    pytest.param("naf", configs.GreedyExplorationConfig(), 0.0, marks=SLOW),
    pytest.param("naf", ConstantExplorationConfig(0.25), 0.25, marks=SLOW),
    pytest.param("naf", RandomExplorationConfig(), 1.0, marks=SLOW),
    pytest.param("naf", RandomDecayExplorationConfig(0.5, decay_steps=10, min_exploration_rate=0.125), 0.125, marks=SLOW),
    pytest.param("dqn", configs.GreedyExplorationConfig(), 0.0, marks=SLOW),
    pytest.param("dqn", RandomExplorationConfig(), 1.0, marks=SLOW),
]


# What is logged. --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "config", "rate"), LOGGED, ids=str)
def test_the_rate_is_in_tensorboard_whatever_the_config_is(tmp_path, kind, config, rate):
    """E10."""
    arguments = {"exploration_config": config, "summaries": ["exploration"]}
    model_fn = naf_fn(**arguments) if kind == "naf" else q_model_fn(num_states=3, **arguments)
    env = targets() if kind == "naf" else vector(BanditEnv(), BanditEnv())
    _, look = run(tmp_path, model_fn, env, timesteps=40, save_summary_timesteps=20)
    assert look.rates[-1] == pytest.approx(rate)
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    values = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("rollout/exploration_rate")]
    assert values[-1] == pytest.approx(rate)
