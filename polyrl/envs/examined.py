"""`Examined`: an environment in the hands of `check_environment`."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from polyrl.envs.contract import missing_arguments, short
from polyrl.envs.observations import MASK
from polyrl.envs.states import running_statistics, set_states

MASK_WORDS = ("mask", "legal", "valid", "available")
"""What is in the name of a mask."""

_FLAGS = (bool, np.bool_, int, np.integer)
_PASS_ON = (OrderEnforcing, PassiveEnvChecker, TimeLimit)
"""Wrappers of `gymnasium.make` that hand the arguments of `reset` on."""


class Examined(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment without what `check_env` refuses and training allows, and without the actions that its mask forbids.

    An environment may refuse such actions with an error. `info` may hold what has no equal, such as a time; flags may be
    NumPy's, or 0 and 1, and floats of another precision than the space's. Of a reward that is NaN, which differs from itself,
    training says where it was.
    """

    strayed: str
    """What `outside` said of the first observation of a step that was not in the observation space."""

    def __init__(self, env: gymnasium.Env[Any, Any]):
        super().__init__(env)
        self._mask: Any = None
        self._observation: Any = None
        self.likely_masks: list[str] = []
        self.strayed = ""
        self._is_over = self._is_stuck = self._in_info = False
        self._kept = copy.deepcopy(running_statistics(env))
        own = env
        while isinstance(own, _PASS_ON):
            own = own.env
        # With the environment's own signature, which is looked at.
        self.reset = functools.wraps(own.reset)(lambda **arguments: self._reset(**arguments))  # type: ignore[method-assign]
        self.missing = missing_arguments(own)

    def __str__(self) -> str:
        return str(self.env)

    def outside(self) -> str:
        """A sentence on the newest observation if it is not in the observation space, after a blank; else nothing."""
        space, value = self.observation_space, self._observation
        if value is None or value in space:
            return ""
        if isinstance(space, Dict) and isinstance(value, Mapping) and space.spaces.keys() == value.keys():
            for key, part in space.items():
                if value[key] not in part:
                    return f" Of the part {key!r} the space is {part}; the newest observation has {_shown(value[key])}."
        return f" The space is {space}; the newest observation is {_shown(value)}."

    @property
    def masks(self) -> bool:
        """Whether the newest observation came with a mask."""
        return self._mask is not None

    def step(self, action: Any) -> Any:
        mask = self._mask
        if self._is_stuck and not self._is_over:
            raise ValueError(
                f"The {MASK} of {self}'s newest observation leaves no legal action. A state without a legal action must be "
                "terminal."
            )
        if mask is not None and not mask[int(action) - int(self.action_space.start)]:  # type: ignore[attr-defined]
            action = action - action + np.flatnonzero(mask)[0] + int(self.action_space.start)  # type: ignore[attr-defined]
        result = self.env.step(action)
        self._look_at(result, "at a step")
        if type(result) is not tuple or len(result) != 5:
            return result
        observation, reward, terminated, truncated, info = result
        self._is_over = bool(np.any(terminated)) or bool(np.any(truncated))
        has_actions = isinstance(self.action_space, Discrete) and not np.any(terminated)
        if has_actions and isinstance(info, Mapping) and (MASK in info) != self._in_info:
            there, lacking = ("reset", "at a step") if self._in_info else ("a step", "at its reset")
            raise ValueError(
                f"{self} returned no info[{MASK!r}] {lacking}, but did at {there}; expected one for each state that is not "
                "terminal."
            )
        if isinstance(reward, (float, np.floating)) and np.isnan(reward):
            reward = 0.0
        if isinstance(terminated, _FLAGS) and terminated in (0, 1):
            terminated = bool(terminated)
        if isinstance(truncated, _FLAGS) and truncated in (0, 1):
            truncated = False
        made = self._as_floats(observation)
        if not self.strayed and made not in self.observation_space:
            self.strayed = self.outside()
        return made, reward, terminated, truncated, {} if isinstance(info, Mapping) else info

    def play(self, action: Any) -> tuple[Any, ...]:
        """A step, and a reset if the episode is over; gives copies of the observation, the reward, and whether it is over."""
        observation, reward, *_ = self.step(action)
        is_over = self._is_over
        if is_over:
            observation, _ = self.reset()
        return copy.deepcopy((observation, float(reward), is_over))

    def follow(self, other: Examined) -> None:
        """Takes the mask of a copy of this environment over, which is of the last observation there."""
        self._mask = other._mask

    def _reset(self, **arguments: Any) -> Any:
        # What is kept from episode to episode, as running means, is not repeated by a seed.
        if arguments.get("seed") is not None:
            set_states(self.env, copy.deepcopy(self._kept))
        result = self.env.reset(**arguments)
        self._is_over = False
        self._look_at(result, "at its reset")
        info = result[1] if type(result) is tuple and len(result) == 2 else None
        self._in_info = isinstance(info, Mapping) and MASK in info
        if type(result) is not tuple or len(result) != 2 or not isinstance(result[1], Mapping):
            return result
        return self._as_floats(result[0]), {}

    def _as_floats(self, observation: Any) -> Any:
        """Floats of another precision as those of the space, as in training: NumPy makes float64 of Python's numbers."""
        space = self.observation_space
        if isinstance(space, Dict):
            if not isinstance(observation, dict) or observation.keys() != space.spaces.keys():
                return observation
            made = {key: _rounded(value, space[key]) for key, value in observation.items()}
            # As it is, if nothing changes: a dict that is returned twice is noticed.
            return made if any(made[key] is not value for key, value in observation.items()) else observation
        return _rounded(observation, space)

    def _look_at(self, result: Any, when: str) -> None:
        """Keeps the observation, and the mask in it or in the info; a ValueError for a mask that is none."""
        self._mask = self._observation = None
        self._is_stuck = False
        if not isinstance(result, tuple) or not result:
            return
        self._observation = result[0]
        for part in (result[0], result[-1]) if isinstance(self.action_space, Discrete) else ():
            if isinstance(part, Mapping) and MASK in part:
                mask = _as_array(part[MASK])
                actions = int(self.action_space.n)  # type: ignore[attr-defined]
                if mask.shape != (actions,) or mask.dtype.kind not in "biu":
                    raise ValueError(
                        f"{self} returned the {MASK} {part[MASK]!r} {when}; expected an array of {actions} integers or bools, "
                        "one for each action."
                    )
                self._is_stuck = not mask.any()
                self._mask = mask if mask.any() else None
        actions = int(getattr(self.action_space, "n", 0))
        self.likely_masks = _likely_masks("info", result[-1], actions) + _likely_masks(
            "the observation's ", result[0], actions
        )


def _likely_masks(place: str, parts: Any, num_actions: int) -> list[str]:
    """What in an info or a dict may be a mask by another name than that which is read, as `info['mask']`."""
    found = parts.items() if isinstance(parts, Mapping) else ()
    names = [name for name, value in found if name != MASK and _has_length(value, num_actions)]
    return [f"{place}[{name!r}]" for name in names if any(word in str(name).lower() for word in MASK_WORDS)]


def _shown(value: Any) -> str:
    form = f"{value.dtype.name} {value.shape} " if isinstance(value, np.ndarray) else ""
    return f"{form}{short(value)}"


def _as_array(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError:  # Rows of different lengths.
        return np.asarray(None)


def _has_length(value: Any, length: int) -> bool:
    return isinstance(value, (np.ndarray, list)) and (isinstance(value, list) or value.ndim == 1) and len(value) == length


def _rounded(value: Any, space: gymnasium.Space[Any]) -> Any:
    if not isinstance(space, Box) or not isinstance(value, np.ndarray) or value.dtype == space.dtype:
        return value
    return value.astype(space.dtype) if value.dtype.kind == np.dtype(space.dtype).kind == "f" else value
