"""`check_environment` and what training allows: other precisions, 0 and 1, and masks without a legal action."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from sound_env import Sound

from polyrl.envs import GymEnvironment
from polyrl.envs.checking import check_environment


class ZeroAndOne(Sound):
    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, 1, np.int64(0), info


class DoublePrecision(Sound):
    """As of an array of Python's numbers; its reset as well."""

    def observation(self):
        return super().observation().astype(np.float64)


class DoublePrecisionParts(DoublePrecision):
    observation_space = Dict(state=Box(0, 1, (4,), np.float32), goal=Box(0, 1, (4,), np.float32))

    def observation(self):
        return {"state": super().observation(), "goal": np.zeros(4)}


class Stuck(Sound):
    """No action is legal; one that is taken all the same is an error of its own."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], {"action_mask": np.zeros(3, np.int8)}

    def step(self, action):
        raise RuntimeError(f"illegal: {action}")


class EndsStuck(Sound):
    """The mask of a terminal state may be empty."""

    def step(self, action):
        return *super().step(action)[:2], True, False, {"action_mask": np.zeros(3, np.int8)}


class OneDict(Sound):
    """It returns the same dict each time, and writes into it."""

    observation_space = Dict(state=Box(0, 1, (4,), np.float32))

    def __init__(self):
        super().__init__()
        self._parts = {}

    def observation(self):
        self._parts["state"] = super().observation()
        return self._parts


@pytest.mark.parametrize("allowed", [ZeroAndOne, DoublePrecision, DoublePrecisionParts, EndsStuck])
def test_what_training_allows_passes(allowed):
    check_environment(GymEnvironment(allowed))


def test_a_state_without_a_legal_action_is_told_before_an_action_is_taken():
    """The environment's own error came first, with a traceback."""
    with pytest.raises(ValueError, match=r"action_mask of .*Stuck.* leaves no legal action.*must be terminal"):
        check_environment(GymEnvironment(Stuck))


def test_a_dict_that_is_returned_twice_is_still_told():
    with pytest.raises(ValueError, match=r"OneDict.*does not pass the check_env"):
        check_environment(GymEnvironment(OneDict))
