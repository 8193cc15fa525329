"""Continuous actions: all ways to run NAF are one run, temporally correlated noise included."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from continuous_testing import BATCH, LENGTH, OFF, PROCESS, SLOW, naf_fn, run, targets
from tiny_agents import assert_equal, counters, rows, weights
from tiny_envs import TargetEnv, vector

from polyrl import configs, ops
from polyrl.configs import (
    AdamConfig,
    ConstantExplorationConfig,
    RandomDecayExplorationConfig,
    RandomExplorationConfig,
)
from polyrl.envs.compiled import Pendulum
from polyrl.errors import CheckpointMismatchError
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.hooks import Hook
from polyrl.models import NAFModel
from polyrl.models.scope import Scope
from polyrl.networks import mlp
from polyrl.replay import UniformReplay


def pendulum_fn(features, labels, mode):
    model = NAFModel(
        mode, mlp([8]), 3, 1, action_low=-2.0, action_high=2.0, exploration_config=PROCESS, summaries=[], name="Swing"
    )
    return model(features, labels)


EXPLORATIONS = {
    "ornstein_uhlenbeck": PROCESS,
    "random_decay": RandomDecayExplorationConfig(0.5, decay_steps=150),
    "random": RandomExplorationConfig(),
}


# One run in many ways. --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("name", EXPLORATIONS)
def test_a_run_with_xla_is_the_run_without(tmp_path, name, overlap):
    """Actions, counters and memory, and the weights but for rounding; with noise from the very first action on."""
    model_fn = naf_fn(exploration_config=EXPLORATIONS[name], optimizer_config=AdamConfig(0.003))
    (fast, seen), (plain, expected) = (run(tmp_path / jit, model_fn, jit=jit, overlap=overlap) for jit in ("on", "off"))
    assert seen.counters == expected.counters
    assert np.shape(seen.actions) == (100, 2, 2)
    np.testing.assert_allclose(seen.actions, expected.actions, rtol=1e-3, atol=1e-3)
    for column, values in rows(fast).items():
        np.testing.assert_allclose(values, rows(plain)[column], rtol=1e-3, atol=1e-3, err_msg=column)
    for label, value in weights(fast).items():
        np.testing.assert_allclose(value, weights(plain)[label], rtol=1e-2, atol=1e-3, err_msg=label)


class Noise(Hook):
    """What was added to the mean at each step, before the range cuts it off."""

    def __init__(self, agent):
        self._agent, self.noise = agent, []

    def after_act(self, run):
        run._sync()
        (part,) = self._agent._scope.unsaved_modules()
        self.noise.append(part.noise.numpy())


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", "on"])
def test_noise_is_correlated_within_an_episode_and_starts_at_zero_in_the_next(tmp_path, jit):
    """E1, E3: what is added in a run with XLA or without is what a loop over environments and steps adds."""
    agent = Agent(naf_fn(exploration_config=PROCESS), UniformReplay(100, BATCH), tmp_path, RunConfig(jit=jit, **OFF))
    look = Noise(agent)
    agent.train(targets(), first_update=BATCH, timesteps=2 * 5 * LENGTH, hooks=[look])
    scope = Scope()

    def drawn(timestep):
        return ops.normal([2, 2], scope.random_seed("exploration", tf.constant(timestep, tf.int64))).numpy()

    noise = PROCESS.sigma * drawn(0)  # The first action's, of the start.
    for iteration, found in enumerate(look.noise, start=1):
        fresh = iteration % LENGTH == 0
        noise = (0.0 if fresh else (1 - PROCESS.theta) * noise) + PROCESS.sigma * drawn(2 * iteration)
        np.testing.assert_allclose(found, noise, rtol=1e-4, atol=1e-5, err_msg=f"{iteration}")


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", "on"])
def test_a_run_resumed_between_episodes_is_the_run_that_was_not_interrupted(tmp_path, jit):
    """Bit for bit: the noise starts again with the episodes. The points shown are the same in each episode here."""

    class Fixed(TargetEnv):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=0)

    def env():
        return vector(Fixed(LENGTH), Fixed(LENGTH, limit=True))

    model_fn = naf_fn(exploration_config=PROCESS)
    steps = 2 * LENGTH
    straight, whole = run(tmp_path / "straight", model_fn, env(), timesteps=12 * steps, jit=jit)
    _, first = run(tmp_path / "parts", model_fn, env(), timesteps=5 * steps, jit=jit)
    resumed, second = run(tmp_path / "parts", model_fn, env(), timesteps=7 * steps, jit=jit)
    assert first.counters + second.counters == whole.counters
    np.testing.assert_array_equal([*first.actions, *second.actions], whole.actions)
    assert_equal(weights(resumed), weights(straight))
    assert_equal(rows(resumed), rows(straight))


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", "on"])
def test_a_resumed_run_may_have_other_environments_in_number_but_not_another_exploration(tmp_path, jit):
    agent, _ = run(tmp_path, naf_fn(exploration_config=PROCESS), timesteps=20, jit=jit)
    agent.train(targets(3), first_update=BATCH, update_frequency=2, timesteps=30)  # The same agent, and a new one.
    agent, _ = run(tmp_path, naf_fn(exploration_config=PROCESS), targets(1), timesteps=10, jit=jit)
    with pytest.raises(CheckpointMismatchError, match=r"exploration_config.identifier=ornstein_uhlenbeck there, constant now"):
        run(tmp_path, naf_fn(exploration_config=ConstantExplorationConfig(0.1)), timesteps=20, jit=jit)
    agent, _ = run(tmp_path, naf_fn(exploration_config=PROCESS), timesteps=20, jit=jit)
    assert counters(agent)[1] == 80


@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=SLOW)])
@pytest.mark.slow
def test_evaluations_and_checkpoints_in_mid_run_leave_the_noise_alone(tmp_path, jit):
    class Meddling(Hook):
        def after_act(self, run):
            if run.timestep % 14 == 0:
                run.evaluate(targets(), 2)
                run.request_checkpoint()

    model_fn = naf_fn(exploration_config=PROCESS, eval_metrics_config=[configs.MetricConfig("Mean", "td_error")])
    config = {"jit": jit, "save_checkpoints_timesteps": 1_000}  # Without it, episodes start at each checkpoint.
    plain, expected = run(tmp_path / "plain", model_fn, timesteps=100, **config)
    ours, seen = run(tmp_path / "meddled", model_fn, timesteps=100, hooks=[Meddling()], **config)
    np.testing.assert_array_equal(seen.actions, expected.actions)
    assert_equal(weights(ours), weights(plain))


def pendulum_noise(agent, num_envs, steps):
    """The noise after so many steps of an episode, by a loop."""
    noise = np.zeros([num_envs, 1])
    for step in range(steps):
        seed = agent._scope.random_seed("exploration", tf.constant(step * num_envs, tf.int64))
        noise = (1 - PROCESS.theta) * noise * (step % 200 > 0) + PROCESS.sigma * ops.normal([num_envs, 1], seed).numpy()
    return noise


# Environments in the graph. ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["on", "off"])
def test_a_pendulum_in_the_graph(tmp_path, jit):
    """Several hundred steps, more than an episode; the noise after them is that of a loop."""
    agent = Agent(pendulum_fn, UniformReplay(1_000, BATCH), tmp_path, RunConfig(jit=jit, **OFF))
    result = agent.train(Pendulum(num_envs=2), first_update=BATCH, update_frequency=4, timesteps=500)
    assert (result.global_timestep, result.global_step, result.global_episode) == (500, 123, 2)
    (part,) = agent._scope.unsaved_modules()
    np.testing.assert_allclose(part.noise, pendulum_noise(agent, 2, 250), rtol=1e-3, atol=1e-4)
    stored = rows(agent)["action"][:500]
    assert (stored.shape, stored.dtype) == ((500, 1), np.float32)
    assert ((stored >= -2) & (stored <= 2)).all()
    assert len(np.unique(stored)) > 250
    again = Agent(pendulum_fn, UniformReplay(1_000, BATCH), tmp_path, RunConfig(jit=jit, **OFF))
    result = again.train(Pendulum(num_envs=2), first_update=BATCH, update_frequency=4, timesteps=100)
    assert result.global_timestep == 600


@pytest.mark.slow
def test_the_loop_in_the_graph_with_xla_is_the_one_without(tmp_path):
    found = []
    for jit in ("off", "on"):
        agent = Agent(pendulum_fn, UniformReplay(1_000, BATCH), tmp_path / jit, RunConfig(jit=jit, **OFF))
        agent.train(Pendulum(num_envs=2), first_update=BATCH, update_frequency=4, timesteps=100)
        found.append(rows(agent))
    for column in found[0]:
        np.testing.assert_allclose(found[0][column], found[1][column], rtol=2e-3, atol=2e-3, err_msg=column)
