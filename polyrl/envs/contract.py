"""What an environment's `reset` and `step` return, checked where it enters: before anything is stored."""

from __future__ import annotations

import contextlib
import inspect
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Dict, Discrete, MultiBinary, MultiDiscrete, Space
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from polyrl.errors import add_note
from polyrl.own_modules import own_place

VERSION = gymnasium.__version__
COUNTED = (Discrete, MultiBinary, MultiDiscrete)
"""Spaces with a limited number of integers, fewer than their dtype can hold."""

UNSTORED = "Nothing of this step was stored."


def fit(values: Any, space: Space[Any], expected: tuple[int, ...], where: str, end: str = UNSTORED) -> np.ndarray:
    """`values` as an array of the space's dtype, if each of them stays what it is.

    So float64 becomes float32, and integers become floats; but a fraction, a NaN, or a number beyond the range of an integer
    dtype is refused where the space has integers.

    Args:
        values: an observation, or several.
        space: of one observation.
        expected: the shape that they must have.
        where: the environment, the step and what the values are, for the message.
        end: of the message.

    Raises:
        TypeError: for what is not numbers.
        ValueError: for another shape, or values that the space's dtype cannot hold; for a Discrete also a state that is not
            one of its.
    """
    array = array_of(values)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise TypeError(f"{where}: expected numbers of {space}, got a masked array; fill it, x.filled(0). {end}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{where}: expected numbers of {space}, got {short(values)}. {end}")
    if array.shape != expected:
        raise ValueError(f"{where}: expected shape {expected} of {space}, got shape {array.shape}: {short(values)}. {end}")
    dtype = np.dtype(np.int64 if isinstance(space, Discrete) else space.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(dtype)
    if array.dtype != dtype and dtype.kind in "biu":
        changed = array[cast != array]  # NaN is not equal to anything.
        if changed.size:
            remedy = "Return observations in the space's dtype, or declare another space. " if end == UNSTORED else ""
            raise ValueError(
                f"{where}: {changed.flat[0].item()} is not a value of {dtype.name}, the dtype of {space}; as {dtype.name} it "
                f"would be {cast[cast != array].flat[0]}. {remedy}{end}"
            )
    _check_range(cast, space, where, end)
    return cast


def _check_range(cast: np.ndarray, space: Space[Any], where: str, end: str) -> None:
    """Refuses integers that do not number a state of the space: a network would take each for an index."""
    if isinstance(space, Discrete):
        outside = cast[(cast < space.start) | (cast >= space.start + space.n)]
        if outside.size:
            raise ValueError(
                f"{where}: {outside.flat[0]} is not one of the {space.n} states {int(space.start)} to "
                f"{int(space.start + space.n - 1)} of {space}. {end}"
            )
    elif isinstance(space, (MultiBinary, MultiDiscrete)):
        low, size = (space.start, space.nvec) if isinstance(space, MultiDiscrete) else (0, 2)
        if ((cast >= low) & (cast < low + size)).all():
            return
        raise ValueError(f"{where}: {short(cast)} is not one of {space}. {end}")


def array_of(values: Any) -> np.ndarray:
    """`values` as an array; one of objects if they cannot be made one: rows of different lengths, or what fails in it."""
    try:
        return np.asarray(values)
    except Exception:  # Whatever a value's own `__array__` raises.
        return np.asarray(None)


def short(value: Any) -> str:
    """The `repr` of a value, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def check_has_spaces(env: gymnasium.Env[Any, Any]) -> None:
    """A TypeError unless an environment has both of its spaces."""
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, Space):
            raise TypeError(
                f"{env}: its {name} is {short(space)}, expected a space of gymnasium's, as gymnasium.spaces.Discrete(2). Set "
                f"self.{name} in __init__ (gymnasium {VERSION})."
            )


def missing_arguments(env: gymnasium.Env[Any, Any]) -> list[str]:
    """Which of the arguments `seed` and `options` the `reset` of an environment does not take."""
    parameters = inspect.signature(env.reset).parameters
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    return [name for name in ("seed", "options") if name not in parameters and not takes_all]


def old_reset(missing: Sequence[str]) -> str:
    """Says what is wrong with a `reset` that lacks these arguments."""
    return (
        f"does not take {' and '.join(map(repr, missing))}; expected reset(self, *, seed=None, options=None), as since "
        f"gymnasium 0.26 (here gymnasium {VERSION})"
    )


class Contract:
    """What one environment returns, as gymnasium defines it.

    Args:
        env: the environment.
        index: its number among those that step together.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], index: int):
        self._env, self._index = env, index
        space = env.observation_space
        self._spaces = dict(space.spaces) if isinstance(space, Dict) else None
        self._space, self._action_space = space, env.action_space
        self._dtype, self._shape = (None, None) if isinstance(space, Discrete) else (space.dtype, space.shape)
        self._steps = 0

    def reset(self, **arguments: Any) -> tuple[Any, Mapping[str, Any]]:
        """Resets the environment; its first observation, and the info.

        Raises:
            TypeError, ValueError: for what gymnasium does not allow; see `fit` for observations.
        """
        self._steps = -1  # Neither of the episode before nor of the next one.
        try:
            result = self._env.reset(**arguments)
        except TypeError as error:
            missing = missing_arguments(self._env.unwrapped)
            if not missing:
                raise
            raise TypeError(f"{self._where('its reset')} {old_reset(missing)}.") from error
        if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], Mapping):
            raise TypeError(
                f"{self._where('its reset')} returned {short(result)}; expected a tuple (observation, info), info a dict, as "
                f"since gymnasium 0.26 (here {VERSION})."
            )
        for name, before in (("observation_space", self._space), ("action_space", self._action_space)):
            now = getattr(self._env, name)
            if now is not before and now != before:
                raise ValueError(
                    f"{self._where('its reset')} has the {name} {now}, which was {before}; expected the same in all episodes, "
                    "as networks and memory are made for it. Pad what varies, and mask actions that are not legal."
                )
        observation, self._steps = self._observation(result[0], "its reset"), 0
        return observation, result[1]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Mapping[str, Any]]:
        """Takes a step; observation, reward, terminated, truncated, info.

        Raises:
            TypeError, ValueError: as `reset`; also for a reward that is not one number.
        """
        result = self._env.step(action)
        self._steps += 1
        if type(result) is not tuple or len(result) != 5:
            count = f"{len(result)} values" if isinstance(result, tuple) else short(result)
            raise TypeError(
                f"{self._where('its step')} returned {count}; expected a tuple of the five (observation, reward, terminated, "
                f"truncated, info), as since gymnasium 0.26 (here {VERSION}). {UNSTORED}"
            )
        observation, reward, terminated, truncated, info = result
        # Comparisons of types first: what fits is let through at little cost.
        if type(reward) is not float:
            reward = self._number(reward)
        if type(terminated) is not bool or type(truncated) is not bool:
            terminated, truncated = self._flag("terminated", terminated), self._flag("truncated", truncated)
        if type(info) is not dict and not isinstance(info, Mapping):
            raise TypeError(f"{self._where('its step')} returned the info {short(info)}; expected a dict. {UNSTORED}")
        if type(observation) is not np.ndarray or observation.dtype is not self._dtype or observation.shape != self._shape:
            observation = self._observation(observation, "its step")
        return observation, reward, terminated, truncated, info

    def _observation(self, observation: Any, call: str) -> Any:
        if self._spaces is None:
            return self._part(observation, self._space, "observation", call)
        if not isinstance(observation, Mapping) or observation.keys() != self._spaces.keys():
            got = f"the keys {sorted(map(str, observation))}" if isinstance(observation, Mapping) else short(observation)
            raise ValueError(
                f"{self._where(call)} returned an observation that does not fit its space: expected a dict with the keys "
                f"{sorted(self._spaces)}, got {got}. {UNSTORED}"
            )
        return {key: self._part(observation[key], space, f"observation {key!r}", call) for key, space in self._spaces.items()}

    def _part(self, values: Any, space: Space[Any], name: str, call: str) -> Any:
        if isinstance(space, Discrete):
            if type(values) in (int, np.int64) and space.start <= values < space.start + space.n:
                return values
        elif (
            type(values) is np.ndarray
            and values.dtype == space.dtype
            and values.shape == space.shape
            and not isinstance(space, (MultiBinary, MultiDiscrete))
        ):
            return values
        return fit(values, space, space.shape or (), f"{self._where(call)} returned an {name} that does not fit its space")

    def _number(self, reward: Any) -> float:
        number = reward[()] if isinstance(reward, np.ndarray) and reward.shape == () else reward
        # A time span counts as an integer in NumPy.
        if isinstance(number, (numbers.Real, np.bool_)) and not isinstance(number, np.timedelta64):
            with contextlib.suppress(OverflowError):
                return float(number)
        raise TypeError(f"{self._where('its step')} returned the reward {short(reward)}; expected one number. {UNSTORED}")

    def _flag(self, name: str, value: Any) -> bool:
        array = array_of(value)
        if array.shape != () or array.dtype.kind not in "biu" or int(array) not in (0, 1):
            raise TypeError(f"{self._where('its step')} returned {name}={short(value)}; expected True or False. {UNSTORED}")
        return bool(array)

    def note(self, error: Exception) -> None:
        """Says of an error that the environment raised which environment it was, and when."""
        if not str(error).startswith(f"Environment {self._index} ("):
            when = "at its reset" if self._steps < 0 else f"at step {self._steps + 1} of its episode"
            add_note(error, f"Environment {self._index} ({self._env}), {when}, raised this{own_place(error)}. {UNSTORED}")

    def _where(self, call: str) -> str:
        when = "at its reset" if call == "its reset" else f"at step {self._steps} of its episode"
        return f"Environment {self._index} ({self._env}), {when},"


def unpacked(result: Any, env: VectorEnv, call: str) -> tuple[Any, ...]:
    """The parts of what a vector environment's `reset` or `step` returned.

    Raises:
        TypeError: unless these are two, or five, and the last of them a dict.
    """
    parts = {"reset": "(observations, infos)", "step": "(observations, rewards, terminated, truncated, infos)"}[call]
    if isinstance(result, tuple) and len(result) == parts.count(",") + 1 and isinstance(result[-1], Mapping):
        return result
    got = f"{len(result)} values, the last one {short(result[-1])}" if isinstance(result, tuple) and result else short(result)
    raise TypeError(
        f"{type(env).__name__}: its {call} returned {got}; expected a tuple {parts}, infos a dict, as since gymnasium 0.26 "
        f"(here {VERSION}). {UNSTORED}"
    )


def reports_episodes(vector: VectorEnv) -> bool:
    """Whether `info["episode"]` is a wrapper's record of the episodes that ended, not an environment's own information."""
    while isinstance(vector, VectorWrapper):
        if isinstance(vector, RecordEpisodeStatistics) or getattr(vector, "REPORTS_EPISODES", False):
            return True
        vector = vector.env
    return False
