"""The environments of gymnasium's classic control, computed in the graph: each compared with its original."""

from __future__ import annotations

import math
from typing import NamedTuple

import gymnasium
import numpy as np
import pytest
import tensorflow as tf

from polyrl.envs.compiled import CompiledEnvironment, compiled_environment
from polyrl.envs.compiled.acrobot import AcrobotState
from polyrl.envs.compiled.cart_pole import CartPoleState
from polyrl.envs.compiled.mountain_car import MountainCarState
from polyrl.envs.compiled.pendulum import PendulumState

NO_SEED = tf.constant([0, 0])
TOLERANCE = 1e-5


class Case(NamedTuple):
    """How to compare one environment.

    `state` its state; `free_steps`: for so many steps the two run freely from one state before the difference of float32 and
    float64 grows to the tolerance (only MountainCar is stable); `low`, `high`: states from all over the space. Those of
    the Acrobot are not of its highest velocities, with which one of its long integration steps amplifies what is rounded.
    """

    state: type
    free_steps: int
    low: tuple[float, ...]
    high: tuple[float, ...]


CASES = {
    "CartPole-v1": Case(CartPoleState, 40, (-3, -3, -0.3, -3), (3, 3, 0.3, 3)),
    "MountainCar-v0": Case(MountainCarState, 200, (-1.2, -0.07), (0.6, 0.07)),
    "Acrobot-v1": Case(AcrobotState, 50, (-math.pi, -math.pi, -6, -12), (math.pi, math.pi, 6, 12)),
    "Pendulum-v1": Case(PendulumState, 20, (-math.pi, -8), (math.pi, 8)),
}
TERMINATING = [env_id for env_id in CASES if env_id != "Pendulum-v1"]


class Steps(NamedTuple):
    """Steps of gymnasium, `[T, ...]` each; `state` before the step, the others after it."""

    state: np.ndarray
    action: np.ndarray
    observation: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray


def original(env_id: str, seed: int) -> gymnasium.Env:
    """Gymnasium's environment without its limit of steps."""
    env = gymnasium.make(env_id).unwrapped
    env.reset(seed=seed)
    env.action_space.seed(seed)
    return env


def place(env: gymnasium.Env, state: np.ndarray) -> None:
    env.state = np.array(state, np.float64)
    env.steps_beyond_terminated = None  # CartPole asks for it.


def gymnasium_steps(env_id: str, seed: int, starts: np.ndarray | None, count: int) -> Steps:
    """`count` random steps, each from its own of the `starts`, or without any those of episodes played in a row."""
    env, rows, length = original(env_id, seed), [], 0
    for index in range(count):
        if starts is not None:
            place(env, starts[index])
        state, action = np.array(env.state), env.action_space.sample()
        observation, reward, terminated, _, _ = env.step(action)
        rows.append((state, action, observation, reward, terminated))
        length += 1
        if terminated or length == gymnasium.spec(env_id).max_episode_steps:
            env.reset()
            length = 0
    return Steps(*(np.array(column) for column in zip(*rows, strict=True)))


def as_state(env_id: str, states: np.ndarray):
    """Gymnasium's states `[T, ...]` as the in-graph environment has them."""
    if env_id == "Pendulum-v1":
        states = np.stack([np.remainder(states[:, 0] + np.pi, 2 * np.pi) - np.pi, states[:, 1]], axis=1)
    return CASES[env_id].state(*(tf.constant(column, tf.float32) for column in states.T))


def as_action(env: CompiledEnvironment, actions: np.ndarray) -> tf.Tensor:
    discrete = isinstance(env.action_space, gymnasium.spaces.Discrete)
    return tf.constant(actions, tf.int32 if discrete else tf.float32)


def check_same(env_id: str, steps: Steps) -> None:
    """All steps at once, each from gymnasium's own state."""
    env = compiled_environment(env_id)
    state, reward, terminated = env.step(as_state(env_id, steps.state), as_action(env, steps.action), NO_SEED)
    np.testing.assert_allclose(env.observe(state), steps.observation, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(reward, steps.reward, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(terminated, steps.terminated)


@pytest.mark.parametrize("env_id", CASES)
def test_spaces_and_limit_are_the_originals(env_id):
    env, like = compiled_environment(env_id), gymnasium.make(env_id)
    assert env.observation_space == like.observation_space
    assert env.action_space == like.action_space
    assert env.max_episode_steps == like.spec.max_episode_steps


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("env_id", CASES)
def test_a_thousand_random_steps_one_by_one(env_id, seed):
    check_same(env_id, gymnasium_steps(env_id, seed, None, 1_000))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("env_id", CASES)
def test_a_step_from_anywhere(env_id, seed):
    """States that random episodes do not come to: at the walls, at the highest velocities, near the goal."""
    case = CASES[env_id]
    starts = np.random.default_rng(seed).uniform(case.low, case.high, [1_000, len(case.low)]).astype(np.float32)
    steps = gymnasium_steps(env_id, seed, starts, 1_000)
    assert 0 < steps.terminated.sum() < 1_000 or env_id not in TERMINATING
    check_same(env_id, steps)


def test_the_goal_of_mountain_car_is_not_reached_backwards():
    # Beyond the goal already, and rolling back.
    starts = np.array([[0.58, -0.03], [0.58, 0.03]], np.float32)
    steps = gymnasium_steps("MountainCar-v0", 0, starts, 2)
    assert steps.terminated.tolist() == [False, True]
    check_same("MountainCar-v0", steps)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_second_link_of_acrobot_is_no_faster_than_allowed(seed):
    """Where gymnasium clips, the inexact digits of the highest velocities are gone."""
    rng, env = np.random.default_rng(seed), compiled_environment("Acrobot-v1")
    starts = rng.uniform([-math.pi, -math.pi, -6, 26], [math.pi, math.pi, 6, 9 * math.pi], [500, 4])
    starts *= rng.choice([-1, 1], [500, 1])
    steps = gymnasium_steps("Acrobot-v1", seed, starts, 500)
    state, _, _ = env.step(as_state("Acrobot-v1", starts), as_action(env, steps.action), NO_SEED)
    actual, expected = state.velocity2.numpy(), steps.observation[:, 5]
    for bound in (-np.float32(9 * math.pi), np.float32(9 * math.pi)):
        assert np.sum(expected == bound) > 20
    np.testing.assert_allclose(actual, expected, rtol=0, atol=0.02)
    assert np.mean((np.abs(actual) == np.float32(9 * math.pi)) == (np.abs(expected) == np.float32(9 * math.pi))) > 0.99


def test_a_torque_too_large_for_the_pendulum_is_clipped():
    original_env, env = original("Pendulum-v1", 0), compiled_environment("Pendulum-v1")
    for torque in (-5.0, -2.0, 2.0, 5.0):
        place(original_env, np.array([1.0, 0.5]))
        observation, reward, _, _, _ = original_env.step(np.array([torque], np.float32))
        output = env.step(as_state("Pendulum-v1", np.array([[1.0, 0.5]])), tf.constant([[torque]]), NO_SEED)
        np.testing.assert_allclose(env.observe(output.state)[0], observation, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(output.reward[0], reward, rtol=0, atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("env_id", CASES)
def test_a_thousand_steps_run_freely(env_id, seed):
    """From one state at the beginning of each episode, after which neither knows of the other."""
    env, limit = compiled_environment(env_id), CASES[env_id].free_steps
    count = 60 if env_id == "CartPole-v1" else 1_000 // limit  # Its random episodes end after 20 steps or so.
    step = tf.function(lambda state, action: env.step(state, action, NO_SEED), autograph=False)
    state = env.reset(count, tf.constant([seed, 0]))
    originals = [original(env_id, seed + index) for index in range(count)]
    for like, start in zip(originals, np.stack([column.numpy() for column in state], axis=1), strict=True):
        place(like, start)
    running, compared = set(range(count)), 0
    for _ in range(limit):
        actions = np.array([like.action_space.sample() for like in originals])
        state, reward, terminated = step(state, as_action(env, actions))
        observation = env.observe(state).numpy()
        for index in sorted(running):
            expected = originals[index].step(actions[index])
            np.testing.assert_allclose(observation[index], expected[0], rtol=0, atol=TOLERANCE)
            np.testing.assert_allclose(reward[index], expected[1], rtol=0, atol=TOLERANCE)
            assert bool(terminated[index]) == expected[2]
            compared += 1
            if expected[2]:
                running.remove(index)
    assert compared >= 900


# First states. ----------------------------------------------------------------------------------------------------------


def largest_gap(a: np.ndarray, b: np.ndarray) -> float:
    """Between the empirical distribution functions of two samples: the statistic of Kolmogorov and Smirnov."""
    both = np.concatenate([a, b])
    share_a = np.searchsorted(np.sort(a), both, side="right") / len(a)
    share_b = np.searchsorted(np.sort(b), both, side="right") / len(b)
    return float(np.abs(share_a - share_b).max())


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("env_id", CASES)
def test_first_states_are_drawn_as_the_originals(env_id, seed):
    size = 4_000
    drawn = compiled_environment(env_id).reset(size, tf.constant([seed, 7]))
    env, states = original(env_id, seed), []
    for _ in range(size):
        env.reset()
        states.append(np.array(env.state))
    # Exceeded by chance once in 10,000 comparisons of two samples from one distribution.
    critical = math.sqrt(-math.log(1e-4 / 2) / 2) * math.sqrt(2 / size)
    for ours, theirs in zip(drawn, np.array(states).T, strict=True):
        assert largest_gap(ours.numpy(), theirs) < critical
        # The ends of the range agree as well: of so many samples some lie within a hundredth of each.
        width = np.ptp(theirs)
        np.testing.assert_allclose([ours.numpy().min(), ours.numpy().max()], [theirs.min(), theirs.max()], atol=width / 100)


@pytest.mark.parametrize("env_id", CASES)
def test_first_states_do_not_depend_on_each_other(env_id):
    columns = [column.numpy() for column in compiled_environment(env_id).reset(4_000, tf.constant([3, 4]))]
    moving = [column for column in columns if np.ptp(column) > 0]
    for index, column in enumerate(moving):
        assert len(np.unique(column)) > 3_900
        # One environment and the next, and one component and the next; the deviation of a correlation is 1 / sqrt(4,000).
        for other in (np.roll(column, 1), *moving[:index]):
            assert abs(np.corrcoef(column, other)[0, 1]) < 5 / math.sqrt(4_000)


def test_the_comparison_notices_another_distribution():
    """The one above can fail: a range a fifth wider is found."""
    rng = np.random.default_rng(0)
    gap = largest_gap(rng.uniform(-1, 1, 4_000), rng.uniform(-1.2, 1.2, 4_000))
    assert gap > math.sqrt(-math.log(1e-4 / 2) / 2) * math.sqrt(2 / 4_000)
