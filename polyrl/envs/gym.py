"""`GymEnvironment`: gymnasium environments by id, class or function. `open_env`: any environment as a vector environment."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode, VectorEnv

from polyrl.envs.actions import action_spec
from polyrl.envs.compiled import CompiledEnvironment, TensorVectorEnv
from polyrl.envs.environment import Environment
from polyrl.envs.factory import EnvMaker
from polyrl.envs.lockstep import LockstepVectorEnv
from polyrl.envs.observations import check_observation_space
from polyrl.validation import check_int, suggestion

EnvLike = Environment | CompiledEnvironment | gymnasium.Env | VectorEnv | str
"""Whatever stands for an environment: what `open_env` takes."""


class GymEnvironment(Environment):
    """How to make as many instances of a gymnasium environment as are needed: by its id, or by a class or function.

    Args:
        env_id: a registered id, as `'CartPole-v1'`; or a callable (a class, a function, a `functools.partial`) that makes one
            new `gymnasium.Env` with each call. What a callable returns is used as it is: no time limit and no check is added.
        num_envs: how many run in parallel while training.
        vectorization_mode: `'sync'` steps them one after the other, `'async'` in processes of their own.
        **kwargs: passed to the environment, or to the callable.

    Raises:
        TypeError: if `env_id` is neither an id nor a callable; from `open`, if the callable returns something that is not a
            `gymnasium.Env`.
        ValueError: for an unknown id; the message names the nearest known one. From `open`, if the callable returns the same
            instance again, or environments with different spaces, or cannot be pickled for the processes of `'async'`.
    """

    def __init__(
        self,
        env_id: str | Callable[..., gymnasium.Env],
        num_envs: int = 1,
        vectorization_mode: str = "sync",
        **kwargs: Any,
    ):
        self.env_id = env_id
        self.num_envs = check_int("num_envs", num_envs, minimum=1)
        if vectorization_mode not in ("sync", "async"):
            raise ValueError(f"vectorization_mode={vectorization_mode!r} is unknown; use 'sync' or 'async'.")
        self.vectorization_mode = vectorization_mode
        self.kwargs = kwargs
        if isinstance(env_id, str):
            try:
                gymnasium.spec(env_id)
            except gymnasium.error.Error as error:
                hint = suggestion(env_id, gymnasium.registry)
                raise ValueError(f"env_id={env_id!r} is unknown to gymnasium: {error}{hint}") from error
        elif not callable(env_id) or (isinstance(env_id, type) and not issubclass(env_id, gymnasium.Env)):
            raise TypeError(
                f"env_id={env_id!r} must be a registered id, or a class or function that makes one gymnasium.Env. An instance "
                "that is open already is passed as it is, without GymEnvironment."
            )

    def open(self, num_envs: int | None = None) -> VectorEnv:
        """Opens `num_envs` new instances (by default the number given to the constructor)."""
        num_envs = self.num_envs if num_envs is None else num_envs
        if self.vectorization_mode == "sync":
            return LockstepVectorEnv(self._maker().make_many(num_envs))
        return self._maker().open_async(num_envs)

    def _maker(self) -> EnvMaker:
        make, always_new = self.env_id, isinstance(self.env_id, type)
        if isinstance(make, str):
            # A worker process may not have registered the id; its spec needs no registry.
            source = make if self.vectorization_mode == "sync" else gymnasium.spec(make)
            make, always_new = functools.partial(gymnasium.make, source), True
        return EnvMaker(f"env_id={self.env_id!r}", functools.partial(make, **self.kwargs), always_new)


def open_env(env: EnvLike, num_envs: int | None = None) -> tuple[VectorEnv, bool]:
    """Gives a checked vector environment for whatever stands for one, and whether the caller has to close it.

    Args:
        env: a `GymEnvironment` or another `Environment`, a `CompiledEnvironment`, an id, or an instance (single or vector),
            which is used as it is.
        num_envs: how many instances to open; ignored for an instance that is open already.

    Raises:
        TypeError: for something else, or for spaces that no model here can serve.
        ValueError: for a vector environment that resets in another way than in the same step.
    """
    if isinstance(env, str):
        env = GymEnvironment(env)
    if isinstance(env, Environment):
        vector, owned = env.open(num_envs), True
    elif isinstance(env, CompiledEnvironment):
        vector, owned = TensorVectorEnv(env, env.num_envs if num_envs is None else num_envs), True
    elif isinstance(env, VectorEnv):
        vector, owned = env, False
    elif isinstance(env, gymnasium.Env):
        vector, owned = LockstepVectorEnv([env]), False
    else:
        hint = f" Put a class or function into one: GymEnvironment({getattr(env, '__name__', env)})." if callable(env) else ""
        raise TypeError(
            f"env={env!r} must be an id, a GymEnvironment or another Environment, a CompiledEnvironment, or an open gymnasium "
            f"environment, single or vector.{hint}"
        )
    try:
        _check(vector)
    except (TypeError, ValueError):
        if owned:
            vector.close()
        raise
    return vector, owned


def _check(env: VectorEnv) -> None:
    mode = env.metadata.get("autoreset_mode")
    if mode != AutoresetMode.SAME_STEP:
        raise ValueError(
            f"The vector environment has autoreset_mode={mode}; make it with AutoresetMode.SAME_STEP "
            "(vector_kwargs={'autoreset_mode': AutoresetMode.SAME_STEP}), or pass its id."
        )
    action_spec(env.single_action_space)
    check_observation_space(env.single_observation_space, int(getattr(env.single_action_space, "n", 0)))
