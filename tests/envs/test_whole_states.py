"""Environments that can be saved in the middle of an episode."""

from __future__ import annotations

import copy

import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from polyrl.envs import EnvDriver, GymEnvironment
from polyrl.envs.checking import check_environment
from polyrl.envs.frame_stack import FrameStack
from polyrl.envs.gym import open_env
from polyrl.envs.states import read_values, vector_states, write_values
from polyrl.envs.whole_states import are_whole, give_whole_states, whole_states


class Walk(gymnasium.Env):
    """A position that moves by the action and by chance, and a drift that lasts; it ends beyond 5."""

    observation_space, action_space = Box(-100.0, 100.0, [1]), Discrete(2)
    checkpoint_state_is_whole = True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.drift = self.np_random.normal(), np.zeros(2)
        return self._observation(), {}

    def step(self, action):
        self.drift[action] += 0.1
        self.position += 2 * action - 1 + self.np_random.normal() + self.drift[1] - self.drift[0]
        return self._observation(), float(self.position), bool(abs(self.position) > 5), False, {}

    def _observation(self):
        return np.array([self.position], np.float32)

    def get_checkpoint_state(self):
        return {"position": self.position, "drift": self.drift}

    def set_checkpoint_state(self, state):
        self.position, self.drift = state["position"], state["drift"]


class Forgetful(Walk):
    """Its state lacks what lasts."""

    def get_checkpoint_state(self):
        return {"position": self.position}

    def set_checkpoint_state(self, state):
        self.position = state["position"]


class Stateless(Walk):
    """It says that it can be saved, and cannot."""

    get_checkpoint_state = set_checkpoint_state = None


class Unknown(gymnasium.Wrapper):
    """A wrapper that does not say whether it keeps something."""


def walk():
    return wrappers.RecordEpisodeStatistics(wrappers.NormalizeReward(wrappers.TimeLimit(Walk(), 7)))


def opened(kind, make=walk):
    if kind == "caller":
        return SyncVectorEnv([make] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    return GymEnvironment(make, 2, kind)


def play(driver, steps):
    rng, results = np.random.default_rng(4), []
    for _ in range(steps):
        transitions, episodes = driver.step(rng.integers(0, 2, 2).astype(np.int32))
        results.append((*transitions, episodes))
    return results


@pytest.mark.parametrize("kind", ["sync", "async", "caller"])
def test_they_continue_in_mid_episode_with_their_wrappers_and_random_numbers(tmp_path, kind):
    with open_env(opened(kind)) as one, open_env(opened(kind)) as two:
        assert are_whole(one)
        first, second = EnvDriver(one), EnvDriver(two)
        first.reset([1, 2])
        play(first, 18)
        write_values(tmp_path / "state.npz", {"whole": whole_states(one), "driver": first.get_state()})
        second.reset([3, 4])
        values = read_values(tmp_path / "state.npz")
        give_whole_states(two, values["whole"])
        second.set_state(values["driver"])
        expected, actual = play(first, 40), play(second, 40)
        np.testing.assert_equal(actual, expected)
        assert sum(len(episodes) for *_, episodes in expected) > 5
        assert {episode.truncated for *_, episodes in expected for episode in episodes} == {True, False}


def test_frames_that_are_stacked_come_back():
    envs = [FrameStack(GymEnvironment(Walk, 2).open(), 3) for _ in range(2)]
    assert all(map(are_whole, envs))
    envs[0].reset(seed=[1, 2])
    envs[0].step(np.array([0, 1]))
    envs[1].reset(seed=[3, 4])
    give_whole_states(envs[1], copy.deepcopy(whole_states(envs[0])))
    for _ in range(4):
        np.testing.assert_equal(envs[1].step(np.array([1, 1]))[:4], envs[0].step(np.array([1, 1]))[:4])


@pytest.mark.parametrize(
    "env",
    [
        "CartPole-v1",
        GymEnvironment(lambda: Unknown(Walk())),
        GymEnvironment(lambda: Unknown(Walk()), 2, "async"),
        GymEnvironment(Walk, 2, "async", restarts=1),
        GymEnvironment(lambda: wrappers.FrameStackObservation(Walk(), 2)),
    ],
    ids=["by id", "wrapper", "wrapper in a process", "restarts", "stack of frames"],
)
def test_where_a_layer_does_not_say_so_they_cannot_be_saved(env):
    with open_env(env) as vector:
        assert not are_whole(vector)


def test_a_subclass_of_a_known_wrapper_has_to_say_so_itself():
    class Limit(wrappers.TimeLimit):
        pass

    with open_env(GymEnvironment(lambda: Limit(Walk(), 7))) as vector:
        assert not are_whole(vector)


def test_what_is_saved_in_mid_episode_is_not_what_is_kept_from_episode_to_episode():
    with open_env("CartPole-v1") as vector:
        vector.reset(seed=[1])
        assert vector_states(vector) == {"vector": {}, "envs": []}


def test_one_without_the_methods_is_refused():
    message = "Stateless has checkpoint_state_is_whole=True and no get_checkpoint_state"
    with open_env(GymEnvironment(Stateless)) as vector, pytest.raises(TypeError, match=message):
        are_whole(vector)


def test_other_layers_are_refused():
    with open_env(opened("sync")) as one, open_env(opened("sync", Walk)) as two:
        one.reset(seed=[1, 2])
        two.reset(seed=[1, 2])
        with pytest.raises(ValueError, match=r"the environments have the layers .*0/Walk.*, and had .*1/NormalizeReward"):
            give_whole_states(two, whole_states(one))


def test_check_env_tries_whether_they_come_back():
    check_environment(GymEnvironment(lambda: wrappers.TimeLimit(Walk(), 7)))
    with pytest.raises(ValueError, match=r"Forgetful.* does not come back as it was: \d+ steps later, observation, reward"):
        check_environment(GymEnvironment(Forgetful))
