"""`SameStepVectorEnv`: turns a pool of environments with partial resets into a vector environment with same-step autoreset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from polyrl.validation import check_int


class Stepped(NamedTuple):
    """One step of `N` environments, before any reset: `observation` `[N, ...]`, the other arrays `[N]`."""

    observation: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    info: dict[str, np.ndarray]


class Pool(Protocol):
    """Environments that step together, and of which any subset can be reset."""

    num_envs: int
    observation_space: Space[Any]
    action_space: Space[Any]

    def reset(self, seeds: Sequence[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Seeds and resets all environments; returns observations `[N, ...]` and infos `[N]`."""

    def reset_some(self, envs: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Resets the environments with these indices, int `[K]`; returns observations `[K, ...]` and infos `[K]`."""

    def step(self, actions: np.ndarray) -> Stepped:
        """Takes one action in each environment, int `[N]`."""

    def close(self) -> None:
        """Releases the resources of the environments."""


class SameStepVectorEnv(VectorEnv):
    """Resets an environment in the step that ends its episode; `info["final_obs"]` holds the episode's last observation.

    Args:
        pool: the environments. An autoreset of its own in the next step never happens, as each environment is reset before.
        max_steps: number of steps after which an episode is truncated.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, pool: Pool, max_steps: int):
        self._pool = pool
        self._max_steps = check_int("max_steps", max_steps, minimum=1)
        self.num_envs = pool.num_envs
        self.single_observation_space = pool.observation_space
        self.single_action_space = pool.action_space
        self.observation_space = batch_space(pool.observation_space, self.num_envs)
        self.action_space = batch_space(pool.action_space, self.num_envs)
        self._lengths = np.zeros(self.num_envs, np.int64)
        self._started = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        if options:
            raise ValueError(f"options={options} are not supported; pass None.")
        self._lengths[:] = 0
        if seed is None and self._started:
            observation, info = self._pool.reset_some(np.arange(self.num_envs))
        else:
            observation, info = self._pool.reset(self._seeds(seed))
            self._started = True
        return observation, dict(info)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self._pool.step(actions)
        self._lengths += 1
        truncated = truncated | (self._lengths >= self._max_steps)
        ended = terminated | truncated
        given: dict[str, Any] = dict(info)
        if ended.any():
            indices = np.flatnonzero(ended)
            finals = np.full(self.num_envs, None, dtype=object)
            for index in indices:
                finals[index] = observation[index].copy()
            first, first_info = self._pool.reset_some(indices)
            observation = observation.copy()  # It may be the pool's own array.
            observation[indices] = first
            for name, values in first_info.items():
                given[name] = given[name].copy()
                given[name][indices] = values
            self._lengths[indices] = 0
            given |= {"final_obs": finals, "_final_obs": ended}
        return observation, reward, terminated, truncated, given

    def close_extras(self, **kwargs: Any) -> None:
        self._pool.close()

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int]:
        """One seed of 31 bits for each environment; a random one in place of None."""
        if isinstance(seed, (int, np.integer)):
            seed = [int(seed) + index for index in range(self.num_envs)]
        seeds = [None] * self.num_envs if seed is None else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed={seed} must hold one seed for each of the {self.num_envs} environments.")
        drawn = np.random.default_rng().integers(2**31, size=self.num_envs)
        return [int(drawn[index]) if one is None else int(one) for index, one in enumerate(seeds)]
