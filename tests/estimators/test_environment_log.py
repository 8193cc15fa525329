"""Environments in Python come back to where they were by their seeds and actions."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import NormalizeObservation, TimeLimit
from tiny_envs import saved_cart_pole

from polyrl.envs import EnvDriver
from polyrl.envs.lockstep import LockstepVectorEnv
from polyrl.estimators.loops.environment_log import FILE, EnvironmentLog


class Forgetful(gymnasium.Env):
    """Its states depend on how many instances there have been."""

    observation_space, action_space = Box(0.0, 1000.0, [1]), Discrete(2)
    made = 0

    def __init__(self):
        Forgetful.made += 1
        self._number = Forgetful.made

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full(1, self._number, np.float32), {}

    def step(self, action):
        return np.full(1, self._number, np.float32), 0.0, False, False, {}


def log_of(*envs, keeps_actions=True):
    driver = EnvDriver(LockstepVectorEnv(envs))
    return driver, EnvironmentLog(driver, 3, keeps_actions)


def played(driver, log, steps, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        actions = rng.integers(0, 2, driver.num_envs).astype(np.int32)
        driver.step(actions)
        log.note(actions)


def cart_poles(number=2):
    return [gymnasium.make("CartPole-v1") for _ in range(number)]


@pytest.mark.parametrize("steps", [0, 1, 75, 2_300])  # Episodes of random actions have about twenty steps.
def test_they_come_back_in_mid_episode_and_continue_alike(tmp_path, steps):
    driver, log = log_of(*cart_poles())
    log.reset(40)
    played(driver, log, steps)
    log.write(tmp_path, {"actions": np.array([1, 0]), "noises": []})
    other, second = log_of(*cart_poles())
    second.reset(7)
    more = second.read(tmp_path)
    assert more["actions"].tolist() == [1, 0]
    assert second.started_at == 40
    np.testing.assert_array_equal(other.state, driver.state)
    for _ in range(30):
        first, episodes = driver.step(np.array([0, 1], np.int32))
        then, others = other.step(np.array([0, 1], np.int32))
        np.testing.assert_array_equal(first.next_state, then.next_state)
        assert episodes == others  # Their lengths and rewards too.


def test_the_statistics_of_wrappers_come_back_too(tmp_path):
    driver, log = log_of(NormalizeObservation(gymnasium.make("CartPole-v1")))
    log.reset(0)
    played(driver, log, 50)
    log.reset(50)
    played(driver, log, 20)
    log.write(tmp_path, {"actions": np.array([1]), "noises": []})
    env = NormalizeObservation(gymnasium.make("CartPole-v1"))
    other, second = log_of(env)
    second.reset(0)
    assert second.read(tmp_path) is not None
    np.testing.assert_array_equal(other.state, driver.state)
    assert env.obs_rms.count > 70


def test_environments_that_do_not_come_back_start_new_episodes_and_a_warning_says_so(tmp_path, caplog):
    driver, log = log_of(Forgetful())
    log.reset(5)
    played(driver, log, 3)
    log.write(tmp_path, {"actions": np.array([1]), "noises": []})
    _, second = log_of(Forgetful())
    assert second.read(tmp_path) is None
    assert second.started_at == -1
    (text,) = [record.getMessage() for record in caplog.records]
    assert "did not come back to where they were" in text


class Strict(gymnasium.Env):
    """Each state has one legal action, which depends on the seed and on `other`; any other one is an error."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, [1], np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, other=0):
        self._other = other

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._draw(), {}

    def step(self, action):
        if action != self.legal:
            raise AssertionError(f"illegal {action}")
        return self._draw(), 0.0, False, False, {}

    def _draw(self):
        self.legal = int(self.np_random.integers(2)) ^ self._other
        return np.full(1, self.legal, np.float32)


def test_an_environment_that_refuses_the_actions_is_another_one_and_starts_new_episodes(tmp_path, caplog):
    """Its error ended the run, and blamed the environment."""
    env = Strict()
    driver, log = log_of(env)
    log.reset(5)
    for _ in range(30):
        actions = np.array([env.legal], np.int32)
        driver.step(actions)
        log.note(actions)
    log.write(tmp_path, {"actions": np.array([1]), "noises": []})
    _, same = log_of(Strict())
    assert same.read(tmp_path) is not None
    _, second = log_of(Strict(other=1))
    assert second.read(tmp_path) is None
    assert second.started_at == -1
    (text,) = [record.getMessage() for record in caplog.records]
    assert "did not come back to where they were" in text
    assert "raised AssertionError: illegal" in text


def test_where_new_episodes_start_only_what_wrappers_keep_is_written(tmp_path):
    driver, log = log_of(*cart_poles())
    log.reset(5)
    played(driver, log, 3)
    log.write(tmp_path, None)
    assert not (tmp_path / FILE).exists()
    driver, log = log_of(NormalizeObservation(gymnasium.make("CartPole-v1")))
    log.reset(5)
    played(driver, log, 30)
    log.write(tmp_path, None)
    env = NormalizeObservation(gymnasium.make("CartPole-v1"))
    _, second = log_of(env)
    assert second.read(tmp_path) is None
    assert env.obs_rms.count > 30


def test_without_resets_from_time_to_time_no_actions_pile_up(tmp_path):
    driver, log = log_of(*cart_poles(), keeps_actions=False)
    log.reset(5)
    played(driver, log, 30)
    assert log._actions.size == 0
    log.write(tmp_path, {"actions": np.array([1, 0]), "noises": []})
    assert log_of(*cart_poles())[1].read(tmp_path) is None


def test_environments_that_can_be_saved_are_saved_as_they_are(tmp_path):
    driver, log = log_of(saved_cart_pole(), saved_cart_pole())
    assert log.are_whole
    log.reset(0)
    played(driver, log, 45)
    assert log._actions.size == 0
    log.write(tmp_path, {"actions": np.array([1, 0]), "noises": []})
    other, second = log_of(saved_cart_pole(), saved_cart_pole())
    second.reset(7)
    assert second.read(tmp_path)["actions"].tolist() == [1, 0]
    np.testing.assert_array_equal(other.state, driver.state)
    for _ in range(40):
        actions = np.array([0, 1], np.int32)
        np.testing.assert_equal(other.step(actions), driver.step(actions))


@pytest.mark.parametrize("other", [lambda: gymnasium.make("CartPole-v1"), lambda: TimeLimit(saved_cart_pole(), 9)])
def test_other_environments_start_new_episodes_and_a_warning_says_so(tmp_path, caplog, other):
    driver, log = log_of(saved_cart_pole())
    log.reset(0)
    played(driver, log, 5)
    log.write(tmp_path, {"actions": np.array([1]), "noises": []})
    _, second = log_of(other())
    second.reset(0)
    assert second.read(tmp_path) is None
    (text,) = [record.getMessage() for record in caplog.records]
    assert "The environments cannot continue where they were" in text
