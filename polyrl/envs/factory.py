"""`EnvMaker`: makes new gymnasium environments, here or in worker processes, and refuses what is not a new environment."""

from __future__ import annotations

import copy
import dataclasses
import functools
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.utils import CloudpickleWrapper

_MADE = "_polyrl_made"


class SameInstanceError(ValueError):
    """A callable that should make a new environment returned one that it, or another, had returned before."""


@dataclasses.dataclass(frozen=True)
class EnvMaker:
    """Makes one new `gymnasium.Env` with each call.

    Args:
        name: what the errors call it, as `env_id=<class 'MyEnv'>`.
        make: returns the environment.
        always_new: `make` is known to make a new one with each call, as a class does.

    Raises:
        TypeError: if `make` returns something that is not a `gymnasium.Env`.
        SameInstanceError: if `make` returns an instance that an `EnvMaker` has given before. It is not closed.
    """

    name: str
    make: Callable[[], gymnasium.Env]
    always_new: bool

    def __call__(self) -> gymnasium.Env:
        env = self.make()
        if not isinstance(env, gymnasium.Env):
            raise TypeError(f"{self.name} returned {env!r}; expected one new gymnasium.Env.")
        attributes = vars(env.unwrapped)
        # With the instance's identity: a deep copy of an environment is a new one.
        if attributes.get(_MADE) == id(env.unwrapped):
            raise SameInstanceError(
                f"{self.name} returned the same environment again: {env}. Each call must make a new one: pass a class or a "
                "function that makes it inside, as `lambda: MyEnv()`. An instance that is open already is passed as it is, "
                "without GymEnvironment."
            )
        attributes[_MADE] = id(env.unwrapped)
        return env

    def make_many(self, num_envs: int) -> list[gymnasium.Env]:
        """`num_envs` new environments with the same spaces.

        Raises:
            ValueError: if their spaces differ.
        """
        envs: list[gymnasium.Env] = []
        try:
            for _ in range(num_envs):
                envs.append(self())
                self._check_spaces(envs[0], envs[-1])
        except SameInstanceError:
            raise  # Those before are perhaps the caller's own.
        except BaseException:
            for env in envs:
                env.close()
            raise
        return envs

    def open_async(self, num_envs: int) -> AsyncVectorEnv:
        """`num_envs` new environments, each in a process of its own, which reset in the same step.

        Raises:
            ValueError: if the environments cannot be made in other processes, as pickle fails.
            RuntimeError: if a process ends before its environment is made.
        """
        if multiprocessing.get_start_method() != "fork":
            self._check_picklable()
        if not self.always_new:
            # Worker processes would hide that they work on copies of one instance.
            for env in self.make_many(2):
                env.close()
        try:
            # `copy=False`: the driver copies what it keeps.
            return AsyncVectorEnv(
                [functools.partial(_in_worker, self)] * num_envs, copy=False, autoreset_mode=AutoresetMode.SAME_STEP
            )
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise RuntimeError(
                f"A worker process ended before it had made its environment from {self.name}; its own error is printed above. "
                "With vectorization_mode='sync' the error is raised in this process."
            ) from error

    def _check_picklable(self) -> None:
        try:
            pickle.dumps(CloudpickleWrapper(self))  # As AsyncVectorEnv does.
        except Exception as error:
            raise ValueError(
                f"vectorization_mode='async' sends {self.name} and its arguments to worker processes, but they cannot be "
                f"pickled: {error}. Make what cannot be pickled inside of the class or function, or use "
                "vectorization_mode='sync'."
            ) from error

    def _check_spaces(self, first: gymnasium.Env, other: gymnasium.Env) -> None:
        for kind in ("observation_space", "action_space"):
            if getattr(first, kind) != getattr(other, kind):
                raise ValueError(
                    f"{self.name} made environments with different spaces: {kind} is {getattr(first, kind)} and "
                    f"{getattr(other, kind)}; environments that step together need the same."
                )


def _in_worker(make: EnvMaker) -> gymnasium.Env:
    return _CopyObservation(make())


class _CopyObservation(gymnasium.Wrapper):
    """Copies an episode's last observation and info.

    gymnasium keeps them by reference, so that an environment which writes into one buffer would overwrite them when it resets.
    """

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            observation, info = copy.deepcopy((observation, info))
        return observation, reward, terminated, truncated, info
