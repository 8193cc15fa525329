"""`check_environment`: gymnasium's own check of an environment, on an instance that is thrown away."""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
import tempfile
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.utils import env_checker
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from polyrl.envs.contract import VERSION, Contract, missing_arguments, old_reset, short
from polyrl.envs.gym import GymEnvironment
from polyrl.envs.observations import MASK, check_observation_space
from polyrl.envs.states import read_values, running_statistics, set_states, write_values
from polyrl.envs.whole_states import get_whole_state, is_whole, set_whole_state

logger = logging.getLogger("polyrl")

OTHER_MASKS = "action_masks"
"""The method by which other libraries ask an environment for its mask."""

MASK_WORDS = ("mask", "legal", "valid", "available")
"""What is in the name of a mask."""

SEEDED = (
    "Its random numbers have to come from self.np_random, which super().reset(seed=seed) seeds, not from np.random or random."
)

_CHECKS = {"env_checker.py", "passive_env_checker.py"}

_FLAGS = (bool, np.bool_, int, np.integer)
_PASS_ON = (OrderEnforcing, PassiveEnvChecker, TimeLimit)
"""Wrappers of `gymnasium.make` that hand the arguments of `reset` on."""

STEPS_BEFORE, STEPS_AFTER = 5, 50
"""Steps before the save and after it, in the check of an environment that can be saved in mid-episode."""

_WAY_OUT = (
    "Mend it; or, if it is as it should be, skip this check with RunConfig(check_env=False), on the command line "
    "--check_env=false."
)


def check_environment(env: Any) -> None:
    """Runs `gymnasium.utils.env_checker.check_env` on a new instance: reset and step return what they should, fit the spaces,
    and repeat for the same seed. One that can be saved in mid-episode, see `polyrl.envs.whole_states`, must also come back.

    Only what makes new instances can be checked so: an id, an `EnvSpec`, a `GymEnvironment`. Anything else is left alone.
    Rendering and what `info` holds are not checked; an episode may be truncated at its first step; and where there is an
    action mask, an illegal action of the check is replaced by a legal one.

    Raises:
        TypeError, ValueError: for what its `Contract` refuses.
        ValueError: if the check fails; names the environment and what it found. Errors of the environment itself are raised as
            they are.
    """
    if isinstance(env, (str, EnvSpec)):
        env = GymEnvironment(env)
    if not isinstance(env, GymEnvironment):
        return
    with contextlib.closing(_Examined(env.make())) as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Advice about bounds and rendering.
        if instance.missing:
            raise ValueError(f"{instance}: its reset {old_reset(instance.missing)}. {_WAY_OUT}")
        check_observation_space(instance.observation_space, int(getattr(instance.action_space, "n", 0)))
        contract = Contract(instance, 0)  # Its words come first, as they say more.
        contract.reset(seed=123)
        if callable(getattr(instance.unwrapped, OTHER_MASKS, None)) and not instance.masks:
            logger.warning(
                "%s has a method %s, which nothing here calls: illegal actions will be taken. Give the mask as "
                "info['action_mask'] at each reset and step, or as a part of a Dict observation.",
                instance,
                OTHER_MASKS,
            )
        if instance.likely_masks and not instance.masks:
            logger.warning(
                "%s has %s with a value for each action, which nothing here reads: if these say which actions are legal, the "
                "key is '%s'.",
                instance,
                instance.likely_masks[0],
                MASK,
            )
        contract.step(instance.action_space.sample())
        try:
            env_checker.check_env(instance, skip_render_check=True, skip_close_check=True)
        except Exception as error:
            if Path(traceback.extract_tb(error.__traceback__)[-1].filename).name not in _CHECKS:
                raise
            raise ValueError(
                f"{instance} does not pass the check_env of gymnasium {VERSION}: {_gist(error)}{instance.outside()} {_WAY_OUT}"
            ) from error
        if instance.spec is None:
            _check_resets_repeat(instance)
    if is_whole(instance.env):
        with contextlib.closing(_Examined(env.make())) as first, contextlib.closing(_Examined(env.make())) as second:
            _check_comes_back(first, second)


def _check_resets_repeat(instance: _Examined) -> None:
    """Refuses episodes that do not begin alike for the same seed; gymnasium asks that of registered ids alone."""
    first, again = ([copy.deepcopy(instance.reset(seed=seed)[0]) for seed in (123, None)] for _ in range(2))
    for how, one, other in zip(("reset(seed=123)", "reset(seed=123) and then reset()"), first, again, strict=True):
        if not env_checker.data_equivalence(one, other):
            raise ValueError(
                f"{instance} began differently with the same seed: {how} gave {short(one)}, and then {short(other)}. {SEEDED} "
                f"What it keeps from one episode to the next must not count after a seed. {_WAY_OUT}"
            )


def _check_comes_back(first: _Examined, second: _Examined) -> None:
    """Refuses an environment that says it can be saved in mid-episode, but behaves differently after being restored."""
    first.action_space.seed(123)
    actions = [first.action_space.sample() for _ in range(STEPS_BEFORE + STEPS_AFTER)]
    first.reset(seed=123)
    for action in actions[:STEPS_BEFORE]:
        first.play(action)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "state.npz"
        write_values(file, get_whole_state(first.env))
        second.reset(seed=321)
        set_whole_state(second.env, read_values(file))
    second.follow(first)
    for number, action in enumerate(actions[STEPS_BEFORE:], start=1):
        results = first.play(action), second.play(action)
        if not env_checker.data_equivalence(*results, exact=True):
            raise ValueError(
                f"{first} says that it can be saved in mid-episode (checkpoint_state_is_whole), but does not come back as it "
                f"was: {number} steps later, observation, reward and end were {short(results[0])}, and in the copy that was "
                f"brought back {short(results[1])}. Have get_checkpoint_state give all that its future depends on. {_WAY_OUT}"
            )


class _Examined(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment without what `check_env` refuses and training allows, and without the actions that its mask forbids.

    An environment may refuse such actions with an error. `info` may hold what has no equal, such as a time; flags may be
    NumPy's, or 0 and 1, and floats of another precision than the space's. Of a reward that is NaN, which differs from itself,
    training says where it was.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]):
        super().__init__(env)
        self._mask: Any = None
        self._observation: Any = None
        self.likely_masks: list[str] = []
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
        form = f"{value.dtype.name} {value.shape} " if isinstance(value, np.ndarray) else ""
        return f" The space is {space}; the newest observation is {form}{short(value)}."

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
        return self._as_floats(observation), reward, terminated, truncated, {} if isinstance(info, Mapping) else info

    def play(self, action: Any) -> tuple[Any, ...]:
        """A step, and a reset if the episode is over; gives copies of the observation, the reward, and whether it is over."""
        observation, reward, *_ = self.step(action)
        is_over = self._is_over
        if is_over:
            observation, _ = self.reset()
        return copy.deepcopy((observation, float(reward), is_over))

    def follow(self, other: _Examined) -> None:
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
        self.likely_masks = _likely_masks(result[-1], int(getattr(self.action_space, "n", 0)))


def _likely_masks(info: Any, num_actions: int) -> list[str]:
    """What in an info may be a mask by another name than that which is read, as `info['mask']`."""
    found = info.items() if isinstance(info, Mapping) else ()
    names = [name for name, value in found if name != MASK and _has_length(value, num_actions)]
    return [f"info[{name!r}]" for name in names if any(word in str(name).lower() for word in MASK_WORDS)]


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


def _gist(error: Exception) -> str:
    """The message of an error on one line, with a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text if text.endswith((".", "!", "?")) else f"{text}."
    return f"{text} {SEEDED}" if "same seed" in text or "non-deterministic" in text or "although similar" in text else text
