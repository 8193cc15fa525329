"""Whole runs with environments in the graph: resumed, watched by hooks, CartPole, learning to the optimum."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from graph_testing import BATCH, Naive, Ring, Watch, check, noting_model_fn, train
from gymnasium.spaces import Box, Discrete
from tiny_agents import assert_equal, make_agent, q_model_fn, rows, weights

from polyrl.configs import AdamConfig, ConstantExplorationConfig
from polyrl.envs.compiled import CartPole, CompiledEnvironment, StepOutput
from polyrl.estimators.hooks import Hook

# Going on. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_a_resumed_run_continues_in_the_middle_of_its_episodes(tmp_path, jit):
    naive = Naive(3, 5, 10, 2)
    for timesteps in (31, 22, 40):
        agent, watch = train(tmp_path, Ring(3), jit, first_update=10, update_frequency=2, timesteps=timesteps)
        before = len(naive.episodes)
        naive.run(timesteps=naive.timestep + timesteps)
        assert watch.episodes == naive.episodes[before:]
    watch.episodes = naive.episodes
    check(agent, watch, naive)


@pytest.mark.slow
def test_the_same_agent_trains_again_with_the_same_environment_and_with_another(tmp_path):
    env = Ring(2)
    agent = make_agent(noting_model_fn, model_dir=tmp_path, batch_size=BATCH, size=5_000, jit="on")
    naive, watch = Naive(2, 5, 10, 2), Watch()
    for own in (env, env, Ring(2)):
        agent.train(own, first_update=10, update_frequency=2, timesteps=30, hooks=[watch])
        naive.run(timesteps=naive.timestep + 30)
    check(agent, watch, naive)


class Meddling(Hook):
    """Looks at everything after each advance."""

    def __init__(self):
        self.times = 0

    def after_act(self, run):
        run.request_summaries()
        run.evaluate(Ring(2), 2)
        run.request_checkpoint()
        self.times += run.stored > 0


@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_what_a_hook_does_between_advances_changes_nothing_in_the_training(tmp_path, jit):
    model_fn = q_model_fn(num_states=2, summaries=["loss"], exploration_config=ConstantExplorationConfig(0.3))
    found = []
    for name, hooks in (("plain", []), ("meddled", [Meddling()])):
        agent, watch = train(
            tmp_path / name, Ring(2), jit, model_fn, hooks, first_update=10, update_frequency=4, timesteps=2_100
        )
        found.append((weights(agent), rows(agent), watch.episodes))
    assert hooks[0].times == len(watch.counters) > 6  # Advances that are watched are one step of each environment.
    for first, second in zip(*found, strict=True):
        if isinstance(first, dict):
            assert_equal(first, second)
        else:
            assert first == second


# CartPole. --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_cart_pole_in_the_loop_steps_as_it_does_eagerly(tmp_path):
    """Each row follows from its state and action, each episode goes on where it was."""
    env = CartPole(3)
    agent, watch = train(tmp_path, env, "on", q_model_fn(num_actions=2, exploration_config=ConstantExplorationConfig(0.5)),
                         first_update=50, update_frequency=3, timesteps=600)  # fmt: skip
    stored = {name: column[:600].reshape([200, 3, *column.shape[1:]]) for name, column in rows(agent).items()}
    lengths, episodes = [0] * 3, []
    for i, n in itertools.product(range(200), range(3)):
        row = {name: column[i, n] for name, column in stored.items()}
        # In the order of the state: (x, x_dot, theta, theta_dot).
        state = type(env.reset(1, tf.zeros([2], tf.int32)))(*(tf.constant([value]) for value in row["state"]))
        after = env.step(state, tf.constant([row["action"]]), tf.zeros([2], tf.int32))
        np.testing.assert_allclose(row["next_state"], env.observe(after.state)[0], rtol=1e-5, atol=1e-6)
        assert (row["reward"], row["done"]) == (1.0, float(after.terminated[0]))
        lengths[n] += 1
        if row["done"] or row["truncated"]:
            episodes.append((float(lengths[n]), lengths[n], n, bool(row["truncated"])))
            lengths[n] = 0
            if i < 199:
                assert np.abs(stored["state"][i + 1, n]).max() <= 0.05
        elif i < 199:
            np.testing.assert_array_equal(stored["state"][i + 1, n], row["next_state"])
    assert watch.episodes == episodes
    assert len(episodes) > 5
    first = stored["state"][0]
    assert len({row.tobytes() for row in first}) == 3  # Each begins in a place of its own.


class ChainState(NamedTuple):
    link: tf.Tensor


class Chain(CompiledEnvironment):
    """Four links: action 1 goes on, and to the end of the chain for a reward of 1; action 0 takes 0.2 and ends at once."""

    LENGTH = 4
    observation_space = Box(0, 1, (LENGTH + 1,), np.float32)
    action_space = Discrete(2)
    max_episode_steps = 10

    def reset(self, num_envs, seed):
        return ChainState(tf.zeros([num_envs], tf.int32))

    def step(self, state, action, seed):
        link = state.link + action
        reward = tf.where(action == 0, 0.2, tf.where(link == self.LENGTH, 1.0, 0.0))
        return StepOutput(ChainState(link), reward, (action == 0) | (link == self.LENGTH))

    def observe(self, state):
        return tf.one_hot(state.link, self.LENGTH + 1)


# Learning. --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_the_chain_is_solved(tmp_path, seed):
    model_fn = q_model_fn(
        "ddqn",
        units=16,
        num_states=Chain.LENGTH + 1,
        num_actions=2,
        optimizer_config=AdamConfig(0.01),
        exploration_config=ConstantExplorationConfig(0.5),
        target_update_frequency=10,
        clip_gradients=10.0,
        discount=0.9,
    )
    agent = make_agent(model_fn, model_dir=tmp_path, batch_size=32, size=4_000, seed=seed, jit="on")
    agent.train(Chain(8), first_update=64, update_frequency=8, timesteps=4_000)
    result = agent.evaluate(Chain(8), 20)
    assert (result["min_reward"], result["mean_ep_length"]) == (1.0, Chain.LENGTH)
