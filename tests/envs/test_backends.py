"""Optional packages, and envpool's environments."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from polyrl.envs import EnvDriver, EnvpoolEnvironment, Episode, open_env
from polyrl.envs.backends import import_package


def test_a_missing_package_is_named_with_a_remedy():
    with pytest.raises(ValueError, match=r"backend='none' needs .*'no_such_package'.*polyrl\[atari\].*or use the other one\."):
        import_package("no_such_package", "backend='none'", "atari", "the other one")


# envpool. ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cartpole() -> list:
    """500 steps of 4 environments with random actions: transitions and episodes of each step."""
    pytest.importorskip("envpool", reason="envpool is not installed: pip install 'polyrl[envpool]'")
    return drive(EnvpoolEnvironment("CartPole-v1", 4), 500, [3, 4, 5, 6])


def drive(environment, steps: int, seeds: list[int]) -> list:
    with open_env(environment) as env:
        assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
        driver = EnvDriver(env)
        driver.reset(seeds)
        actions = np.random.default_rng(0).integers(0, driver.action_spec.maximum + 1, [steps, driver.num_envs])
        return [driver.step(row) for row in actions]


def test_every_transition_of_envpool_follows_the_physics_of_gymnasium(cartpole):
    """Also the last one of an episode: none spans two episodes."""
    reference = gymnasium.make("CartPole-v1").unwrapped
    ended = 0
    for transitions, _ in cartpole:
        for row in range(4):
            reference.reset()
            reference.state = np.array(transitions.state[row], np.float64)
            next_state, reward, terminated, _, _ = reference.step(int(transitions.action[row]))
            np.testing.assert_allclose(transitions.next_state[row], next_state, rtol=1e-4, atol=1e-5)
            assert (transitions.reward[row], transitions.done[row]) == (reward, terminated)
            ended += terminated
    assert ended > 50


def test_episodes_of_envpool_start_near_the_middle(cartpole):
    for (_, episodes), (transitions, _) in itertools.pairwise(cartpole):
        for episode in episodes:
            assert np.abs(transitions.state[episode.env]).max() <= 0.05
            assert episode.reward == episode.length


def test_the_same_seeds_give_the_same_episodes_of_envpool_and_other_seeds_do_not(cartpole):
    again = drive(EnvpoolEnvironment("CartPole-v1", 4), 500, [3, 4, 5, 6])
    other = drive(EnvpoolEnvironment("CartPole-v1", 4), 500, [3, 4, 5, 7])
    for (first, _), (second, _) in zip(cartpole, again, strict=True):
        np.testing.assert_array_equal(first.next_state, second.next_state)
    assert (cartpole[0][0].state == other[0][0].state).all(axis=1).tolist() == [True, True, True, False]


def test_the_limit_of_an_envpool_environment_truncates():
    pytest.importorskip("envpool", reason="envpool is not installed: pip install 'polyrl[envpool]'")
    rows = drive(EnvpoolEnvironment("CartPole-v1", 2, max_episode_steps=3), 6, [0, 1])
    assert [episodes for _, episodes in rows] == [[], [], two := [Episode(3.0, 3, k, True) for k in (0, 1)], [], [], two]
    assert all((transitions.done == 0.0).all() for transitions, _ in rows)


def test_an_id_that_envpool_does_not_have_is_refused():
    pytest.importorskip("envpool", reason="envpool is not installed: pip install 'polyrl[envpool]'")
    with pytest.raises(ValueError, match=r"'CartPoll-v1' is unknown to envpool.*'CartPole-v1'"):
        EnvpoolEnvironment("CartPoll-v1")
