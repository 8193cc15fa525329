"""Environments in which not every action is legal in every state; taking an illegal one is an error."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary


class TemptingEnv(gymnasium.Env):
    """All places look alike, so a network assigns an action the same value everywhere, even where it is illegal.

    | place | legal action | reward and next place |
    |---|---|---|
    | 0, the start of half of the episodes | 0: stop | 0.5, terminal |
    | | 1: go on | 0, place 1 |
    | 1 | 2 | 0.2, terminal |
    | 2, the start of the other half | 3 | 1, terminal |

    Going on is worth `0.2 gamma`, so stopping is optimal. A target that bootstraps from action 3, which is illegal in place 1,
    makes going on worth `gamma`.

    Args:
        where: how the mask is given, in the 'observation' or the 'info'.
    """

    LEGAL = {0: (0, 1), 1: (2,), 2: (3,)}

    def __init__(self, where: str = "observation"):
        self._where = where
        box = Box(0, 1, (1,), np.float32)
        self.observation_space = Dict(state=box, action_mask=MultiBinary(4)) if where == "observation" else box
        self.action_space = Discrete(4)
        self._place = 0

    @staticmethod
    def values(gamma: float) -> list[float]:
        """The values of the four actions, where they are legal."""
        return [0.5, 0.2 * gamma, 0.2, 1.0]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place = 2 * int(self.np_random.integers(2))
        return self._given()

    def step(self, action):
        if action not in self.LEGAL[self._place]:
            raise ValueError(f"Action {action} is illegal in place {self._place}.")
        ended = action != 1
        self._place = 3 if ended else 1
        observation, info = self._given()
        return observation, (0.5, 0.0, 0.2, 1.0)[int(action)], ended, False, info

    def _given(self) -> tuple[Any, dict[str, Any]]:
        # No action is legal in the terminal place 3.
        mask = np.array([action in self.LEGAL.get(self._place, ()) for action in range(4)], np.int8)
        state = np.ones(1, np.float32)
        return ({"state": state, "action_mask": mask}, {}) if self._where == "observation" else (state, {"action_mask": mask})


def mask_of(number: int, episode: int, t: int, num_actions: int = 3) -> np.ndarray:
    """The mask of a state of `MaskedScheduleEnv`; successive states have different ones."""
    bits = 1 + (5 * number + 3 * episode + t) % (2**num_actions - 1)
    return np.array([bits >> action & 1 for action in range(num_actions)], np.int8)


class MaskedScheduleEnv(gymnasium.Env):
    """State and goal identify themselves: `(number, episode, t)` and `[-t, episode]`; the mask is `mask_of`.

    A terminal state has a mask of zeros.

    Args:
        number: identifies the environment.
        length: number of steps in each episode.
        end: how the episodes end, 'terminated' or 'truncated'.
        where: how the mask is given, in the 'observation', the 'info' or both; with both, the one in the info is wrong.
        broken: a mask that replaces the right one at step 2 of episode 1; 'missing' omits it.
        reuse_buffers: writes each observation and mask into the same arrays.
        final: whether terminal states have a mask.
        first: number of the first episode.
    """

    def __init__(
        self,
        number: int = 0,
        length: int = 3,
        end: str = "terminated",
        where: str = "observation",
        broken: Any = None,
        reuse_buffers: bool = False,
        final: bool = True,
        first: int = 0,
    ):
        parts = {"state": Box(0, 200, (3,), np.float64), "goal": Box(-200, 200, (2,), np.float32), "place": Discrete(300)}
        if where != "info":
            parts["action_mask"] = MultiBinary(3)
        self.observation_space = Dict(parts)
        self.action_space = Discrete(3)
        self._number, self._length, self._end, self._where, self._broken = number, length, end, where, broken
        self._reuse, self._final = reuse_buffers, final
        self._episode = first - 1
        self._arrays: dict[str, np.ndarray] = {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._episode += 1
        self._t = 0
        return self._given()

    def step(self, action):
        self._t += 1
        ended = self._t == self._length
        observation, info = self._given()
        return observation, float(self._t), ended and self._end == "terminated", ended and self._end == "truncated", info

    def _given(self) -> tuple[dict[str, Any], dict[str, Any]]:
        terminal = self._t == self._length and self._end == "terminated"
        mask: Any = np.zeros(3, np.int8) if terminal else mask_of(self._number, self._episode, self._t)
        if self._broken is not None and (self._episode, self._t) == (1, 2):
            mask = self._broken
        observation = {
            "state": self._array("state", np.array([self._number, self._episode, self._t], np.float64)),
            "goal": self._array("goal", np.array([-self._t, self._episode], np.float32)),
            "place": 10 * self._episode + self._t,
        }
        if self._where != "info":
            observation["action_mask"] = self._array("mask", mask)
        if self._where == "observation" or (terminal and not self._final) or mask is MISSING:
            return observation, {}
        return observation, {"action_mask": self._array("mask", mask) if self._where == "info" else np.ones(3, np.int8)}

    def _array(self, name: str, values: np.ndarray) -> np.ndarray:
        if not self._reuse:
            return values
        array = self._arrays.setdefault(name, np.zeros_like(values))
        array[...] = values
        return array


MISSING = "missing"


gymnasium.register("polyrl/TinyTempting-v0", TemptingEnv, order_enforce=False, disable_env_checker=True, nondeterministic=True)
gymnasium.register(
    "polyrl/TinyMasked-v0", MaskedScheduleEnv, order_enforce=False, disable_env_checker=True, nondeterministic=True
)
