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
from gymnasium.utils import env_checker

from polyrl.envs.contract import VERSION
from polyrl.envs.gym import GymEnvironment
from polyrl.envs.observations import MASK

_CHECKS = {"env_checker.py", "passive_env_checker.py"}


def check_environment(env: Any) -> None:
    """Runs `gymnasium.utils.env_checker.check_env` on a new instance: reset and step return what they should, fit the spaces,
    and repeat for the same seed.

    Only what makes new instances can be checked so: an id, a `GymEnvironment`. Anything else is left alone. Rendering is not
    checked, and where there is an action mask, an illegal action of the check is replaced by a legal one.

    Raises:
        ValueError: if the check fails; names the environment and what it found. Errors of the environment itself are raised as
            they are.
    """
    if isinstance(env, str):
        env = GymEnvironment(env)
    if not isinstance(env, GymEnvironment):
        return
    with contextlib.closing(_LegalActions(env.make())) as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Advice about bounds and rendering.
        try:
            env_checker.check_env(instance, skip_render_check=True, skip_close_check=True)
        except Exception as error:
            if Path(traceback.extract_tb(error.__traceback__)[-1].filename).name not in _CHECKS:
                raise
            raise ValueError(
                f"{instance.env} does not pass the check_env of gymnasium {VERSION}: {_gist(error)} Mend it; or, if it is as "
                "it should be, skip this check with RunConfig(check_env=False), on the command line --check_env=false."
            ) from error


class _LegalActions(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Replaces an action that the mask forbids, as an environment may refuse it with an error."""

    def __init__(self, env: gymnasium.Env[Any, Any]):
        super().__init__(env)
        self._mask: Any = None
        # With the environment's own signature, which is looked at.
        self.reset = functools.wraps(env.reset)(lambda **arguments: self._reset(**arguments))  # type: ignore[method-assign]

    def _reset(self, **arguments: Any) -> Any:
        result = self.env.reset(**arguments)
        self._keep_mask(result)
        return result

    def step(self, action: Any) -> Any:
        mask = self._mask
        if mask is not None and not mask[int(action) - int(getattr(self.action_space, "start", 0))]:
            action = action - action + np.flatnonzero(mask)[0] + int(getattr(self.action_space, "start", 0))
        result = self.env.step(action)
        self._keep_mask(result)
        return result

    def _keep_mask(self, result: Any) -> None:
        """Finds the mask in the observation or the info, if there is a sound one."""
        self._mask = None
        for part in (result[0], result[-1]) if isinstance(result, tuple) and result else ():
            if isinstance(part, Mapping) and MASK in part:
                mask = np.asarray(part[MASK])
                if mask.shape == (getattr(self.action_space, "n", 0),) and mask.any():
                    self._mask = mask


def _gist(error: Exception) -> str:
    """The message of an error on one line, with a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
