"""gymnasium environments by id, and the checks that an environment fits before anything starts."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode, VectorEnv

from polyrl.envs.actions import action_spec
from polyrl.envs.compiled import CompiledEnvironment, TensorVectorEnv
from polyrl.envs.environment import Environment
from polyrl.envs.lockstep import LockstepVectorEnv
from polyrl.envs.observations import check_observation_space
from polyrl.validation import check_int, suggestion

EnvLike = Environment | CompiledEnvironment | gymnasium.Env | VectorEnv | str
"""Whatever stands for an environment: what `open_env` takes."""


class GymEnvironment(Environment):
    """An environment by its gymnasium id: not an instance, but how to make as many as are needed.

    Args:
        env_id: a registered id, as `'CartPole-v1'`.
        num_envs: how many run in parallel while training.
        vectorization_mode: `'sync'` steps them one after the other, `'async'` in processes of their own.
        **kwargs: passed to the environment.

    Raises:
        ValueError: for an unknown id; the message names the nearest known one.
    """

    def __init__(self, env_id: str, num_envs: int = 1, vectorization_mode: str = "sync", **kwargs: Any):
        self.env_id = env_id
        self.num_envs = check_int("num_envs", num_envs, minimum=1)
        if vectorization_mode not in ("sync", "async"):
            raise ValueError(f"vectorization_mode={vectorization_mode!r} is unknown; use 'sync' or 'async'.")
        self.vectorization_mode = vectorization_mode
        self.kwargs = kwargs
        try:
            gymnasium.spec(env_id)
        except gymnasium.error.Error as error:
            hint = suggestion(env_id, gymnasium.registry) if isinstance(env_id, str) else ""
            raise ValueError(f"env_id={env_id!r} is unknown to gymnasium: {error}{hint}") from error

    def open(self, num_envs: int | None = None) -> VectorEnv:
        """Opens `num_envs` new instances (by default the number given to the constructor)."""
        num_envs = self.num_envs if num_envs is None else num_envs
        if self.vectorization_mode == "sync":
            return LockstepVectorEnv([lambda: gymnasium.make(self.env_id, **self.kwargs)] * num_envs)
        return gymnasium.make_vec(
            self.env_id,
            num_envs=num_envs,
            vectorization_mode="async",
            # What the driver keeps it copies.
            vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP, "copy": False},
            wrappers=(_CopyObservation,),
            **self.kwargs,
        )


class _CopyObservation(gymnasium.Wrapper):
    """Gives an episode's last observation and info in arrays of their own.

    gymnasium keeps them by reference, so that an environment which writes into one buffer would overwrite them when it resets.
    """

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            observation, info = copy.deepcopy((observation, info))
        return observation, reward, terminated, truncated, info


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
        vector, owned = LockstepVectorEnv([lambda: env]), False
    else:
        raise TypeError(f"env={env!r} must be a GymEnvironment or another Environment, a gymnasium environment, or an id.")
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
