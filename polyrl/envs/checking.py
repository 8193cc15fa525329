"""`check_environment`: gymnasium's own check of an environment, on an instance that is thrown away."""

from __future__ import annotations

import contextlib
import functools
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Discrete
from gymnasium.utils import env_checker
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from polyrl.envs.contract import VERSION, Contract, missing_arguments, old_reset, short
from polyrl.envs.gym import GymEnvironment
from polyrl.envs.observations import MASK, check_observation_space

_CHECKS = {"env_checker.py", "passive_env_checker.py"}

_PASS_ON = (OrderEnforcing, PassiveEnvChecker, TimeLimit)
"""Wrappers of `gymnasium.make` that hand the arguments of `reset` on."""

_WAY_OUT = (
    "Mend it; or, if it is as it should be, skip this check with RunConfig(check_env=False), on the command line "
    "--check_env=false."
)


def check_environment(env: Any) -> None:
    """Runs `gymnasium.utils.env_checker.check_env` on a new instance: reset and step return what they should, fit the spaces,
    and repeat for the same seed.

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
        contract.step(instance.action_space.sample())
        try:
            env_checker.check_env(instance, skip_render_check=True, skip_close_check=True)
        except Exception as error:
            if Path(traceback.extract_tb(error.__traceback__)[-1].filename).name not in _CHECKS:
                raise
            raise ValueError(
                f"{instance} does not pass the check_env of gymnasium {VERSION}: {_gist(error)}{instance.outside()} {_WAY_OUT}"
            ) from error


class _Examined(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment without what `check_env` refuses and training allows, and without the actions that its mask forbids.

    An environment may refuse such actions with an error. `info` may hold what has no equal, such as a time; flags may be
    NumPy's. Of a reward that is NaN, which differs from itself, training says where it was.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]):
        super().__init__(env)
        self._mask: Any = None
        self._observation: Any = None
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

    def step(self, action: Any) -> Any:
        mask = self._mask
        if mask is not None and not mask[int(action) - int(self.action_space.start)]:  # type: ignore[attr-defined]
            action = action - action + np.flatnonzero(mask)[0] + int(self.action_space.start)  # type: ignore[attr-defined]
        result = self.env.step(action)
        self._look_at(result)
        if type(result) is not tuple or len(result) != 5:
            return result
        observation, reward, terminated, truncated, info = result
        if isinstance(reward, (float, np.floating)) and np.isnan(reward):
            reward = 0.0
        if isinstance(truncated, (bool, np.bool_)):
            truncated = False
        return observation, reward, terminated, truncated, {} if isinstance(info, Mapping) else info

    def _reset(self, **arguments: Any) -> Any:
        result = self.env.reset(**arguments)
        self._look_at(result)
        return result

    def _look_at(self, result: Any) -> None:
        """Keeps the observation, and the mask in it or in the info, if there is a sound one."""
        self._mask = self._observation = None
        if not isinstance(result, tuple) or not result:
            return
        self._observation = result[0]
        for part in (result[0], result[-1]) if isinstance(self.action_space, Discrete) else ():
            if isinstance(part, Mapping) and MASK in part:
                try:
                    mask = np.asarray(part[MASK])
                except ValueError:  # Rows of different lengths, of which training tells.
                    continue
                if mask.shape == (self.action_space.n,) and mask.any():  # type: ignore[attr-defined]
                    self._mask = mask


def _gist(error: Exception) -> str:
    """The message of an error on one line, with a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
