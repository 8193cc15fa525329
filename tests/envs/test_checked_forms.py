"""`check_environment` and what training allows: other precisions, 0 and 1, and masks without a legal action."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from polyrl.envs import GymEnvironment
from polyrl.envs.checking import check_environment


class Sound(gymnasium.Env):
    observation_space, action_space = Box(0.0, 1.0, [4]), Discrete(3)

    def observation(self):
        return self.np_random.random(4, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation(), {}

    def step(self, action):
        return self.observation(), 1.0, False, False, {}


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


@pytest.mark.parametrize("allowed", [ZeroAndOne, DoublePrecision, DoublePrecisionParts, EndsStuck])
def test_what_training_allows_passes(allowed):
    check_environment(GymEnvironment(allowed))


def test_a_state_without_a_legal_action_is_told_before_an_action_is_taken():
    """The environment's own error came first, with a traceback."""
    with pytest.raises(ValueError, match=r"action_mask of .*Stuck.* leaves no legal action.*must be terminal"):
        check_environment(GymEnvironment(Stuck))
