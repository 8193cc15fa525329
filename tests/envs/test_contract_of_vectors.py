"""What a vector environment of the caller's own returns, and a `reset` from before gymnasium 0.26."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from polyrl.envs import EnvDriver
from polyrl.envs.checked_env import checked
from polyrl.envs.contract import Contract


class OfTheCaller(gymnasium.vector.VectorEnv):
    """Two environments of the caller's own; `reset` and `step` return what they are told."""

    metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}
    num_envs = 2
    single_observation_space, single_action_space = Box(-1.0, 1.0, [3]), Discrete(2)
    observation_space, action_space = Box(-1.0, 1.0, [2, 3]), MultiDiscrete([2, 2])
    SOUND = (np.zeros([2, 3], np.float32), np.zeros(2), np.zeros(2, bool), np.zeros(2, bool), {})

    def __init__(self, **returns):
        self._returns = returns

    def reset(self, *, seed=None, options=None):
        return self._returns.get("reset", (self.SOUND[0], {}))

    def step(self, actions):
        return self._returns.get("step", self.SOUND)


WRONG_VECTORS = [
    ("step", (*OfTheCaller.SOUND[:3], {}), r"returned 4 values"),
    ("step", None, r"returned None; expected a tuple \(observations, rewards"),
    ("step", [*OfTheCaller.SOUND], r"expected a tuple"),
    ("step", (*OfTheCaller.SOUND[:4], None), r"5 values, the last one None; expected .* infos a dict"),
    ("step", (), r"returned \(\)"),
    ("reset", np.zeros([2, 3], np.float32), r"its reset returned array.*; expected a tuple \(observations, infos\)"),
    ("reset", (np.zeros([2, 3], np.float32), None), r"its reset returned 2 values, the last one None"),
    ("reset", None, r"its reset returned None"),
]


@pytest.mark.parametrize(("call", "result", "words"), WRONG_VECTORS)
def test_what_a_vector_environment_of_the_callers_returns_is_unpacked_by_name(call, result, words):
    driver = EnvDriver(OfTheCaller(**{call: result}))
    if call == "step":
        driver.reset([0, 1])
    with pytest.raises(TypeError, match=words):
        driver.reset([0, 1]) if call == "reset" else driver.step(np.zeros(2, np.int32))


class Derived(gymnasium.vector.SyncVectorEnv):
    """A subclass, as people write it to add a method."""


class OneBuffer(gymnasium.Env):
    """Writes each observation into the same array; the fifth step is the last."""

    observation_space, action_space = Box(0.0, 9.0, [1]), Discrete(2)

    def __init__(self):
        self._buffer = np.zeros(1, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._buffer[0] = 0.0
        return self._buffer, {}

    def step(self, action):
        self._buffer[0] += 1.0
        return self._buffer, 1.0, False, self._buffer[0] == 5.0, {}


@pytest.mark.parametrize("kind", [gymnasium.vector.SyncVectorEnv, Derived])
def test_a_buffer_that_is_used_again_is_copied_also_in_a_subclass(kind):
    vector = kind([OneBuffer] * 2, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP)
    with checked(vector):
        driver = EnvDriver(vector)
        driver.reset([0, 1])
        for _ in range(5):
            transitions, _ = driver.step(np.zeros(2, np.int32))
    np.testing.assert_array_equal(transitions.next_state, [[5.0], [5.0]])
    np.testing.assert_array_equal(transitions.truncated, [1.0, 1.0])


# An old reset. ----------------------------------------------------------------------------------------------------------


class OldReset(gymnasium.Env):
    observation_space, action_space = Box(0.0, 1.0, [1]), Discrete(2)

    def reset(self):
        return np.zeros(1, np.float32)


def test_a_reset_without_arguments_is_told_what_gymnasium_asks_for():
    with pytest.raises(TypeError, match=r"does not take 'seed' and 'options'; expected reset\(self, \*, seed=None"):
        Contract(OldReset(), 0).reset(seed=3)


def test_a_type_error_of_the_environment_itself_stays_one():
    class Fails(OldReset):
        def reset(self, *, seed=None, options=None):
            return len(3)

    with pytest.raises(TypeError, match="object of type 'int' has no len"):
        Contract(Fails(), 0).reset(seed=3)
