"""Optional packages that run environments, and `EnvpoolEnvironment`."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from polyrl.envs.environment import Environment
from polyrl.envs.same_step import SameStepVectorEnv, Stepped
from polyrl.validation import check_int, suggestion

UNLIMITED = 2**30
"""A limit of steps or frames that no episode reaches: `SameStepVectorEnv` keeps the actual limit."""


def import_package(name: str, needed_by: str, extra: str, otherwise: str = "") -> Any:
    """Imports an optional package.

    Args:
        name: its module.
        needed_by: the argument that needs it, as `"backend='envpool'"`.
        extra: the pip extra of polyrl that installs it.
        otherwise: what to use instead, if there is anything.

    Raises:
        ValueError: if it is not installed; the message says how to install it, and what to use instead.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        instead = f", or use {otherwise}" if otherwise else ""
        raise ValueError(
            f"{needed_by} needs the Python package {name!r}, which cannot be imported here ({error}). "
            f"Install it with `pip install 'polyrl[{extra}]'`{instead}."
        ) from error


@contextlib.contextmanager
def _quiet_spaces() -> Iterator[None]:
    """Silences gymnasium's warning that the float64 bounds of envpool's spaces become float32."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*precision lowered by casting")
        yield


class EnvpoolEnvironment(Environment):
    """An environment of envpool (Weng et al. 2022) by its id: C++ instances, stepped by threads.

    Args:
        env_id: one of envpool's ids, as `'CartPole-v1'`.
        num_envs: how many run in parallel while training.
        **kwargs: passed to envpool.

    Raises:
        ValueError: if envpool is not installed or has no such environment.
    """

    def __init__(self, env_id: str, num_envs: int = 1, **kwargs: Any):
        self.env_id = env_id
        self.num_envs = check_int("num_envs", num_envs, minimum=1)
        self.kwargs = kwargs
        envpool = import_package("envpool", "The envpool backend", "envpool", "gymnasium's environments")
        known = envpool.list_all_envs()
        if env_id not in known:
            raise ValueError(
                f"env_id={env_id!r} is unknown to envpool; gymnasium may have it.{suggestion(str(env_id), known)}"
            )

    def open(self, num_envs: int | None = None) -> VectorEnv:
        pool = EnvpoolPool(self.env_id, self.num_envs if num_envs is None else num_envs, **self.kwargs)
        return SameStepVectorEnv(pool, pool.max_steps)


class EnvpoolPool:
    """The `Pool` of an envpool id.

    Args:
        env_id: envpool's id.
        num_envs: how many.
        info: names of the infos that are kept.
        **kwargs: passed to envpool.

    Attributes:
        max_steps: envpool's limit of steps. `SameStepVectorEnv` truncates there in its place, as envpool reports an episode
            that terminates in its last allowed step as truncated.
    """

    def __init__(self, env_id: str, num_envs: int, info: Sequence[str] = (), **kwargs: Any):
        self._envpool = import_package("envpool", "The envpool backend", "envpool", "gymnasium's environments")
        self._env_id, self._info = env_id, tuple(info)
        self.num_envs = num_envs
        spec = self._envpool.make_spec(env_id, **kwargs)
        with _quiet_spaces():
            self.observation_space, self.action_space = spec.gymnasium_observation_space, spec.gymnasium_action_space
        self.max_steps = int(spec.config.max_episode_steps)
        self._kwargs = {**kwargs, "max_episode_steps": UNLIMITED}
        self._pool: Any = None

    def reset(self, seeds: Sequence[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        # envpool takes seeds only when it makes environments.
        self.close()
        self._pool = self._envpool.make_gymnasium(self._env_id, num_envs=self.num_envs, seed=list(seeds), **self._kwargs)
        with _quiet_spaces():
            observation, info = self._pool.reset()
        return observation, {name: info[name] for name in self._info}

    def reset_some(self, envs: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        observation, info = self._pool.reset(envs.astype(np.int32))
        order = np.argsort(info["env_id"])  # envpool returns them in the order in which they finish.
        return observation[order], {name: info[name][order] for name in self._info}

    def step(self, actions: np.ndarray) -> Stepped:
        observation, reward, terminated, truncated, info = self._pool.step(np.asarray(actions))
        return Stepped(observation, reward, terminated, truncated, {name: info[name] for name in self._info})

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None
