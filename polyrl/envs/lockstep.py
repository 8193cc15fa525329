"""`LockstepVectorEnv`: gymnasium environments stepped one after the other in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Dict
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from polyrl.envs.contract import Contract, check_has_spaces
from polyrl.envs.observations import MASK

TAKEN = ("final_obs", "final_info", "_final_obs", "_final_info")
"""Keys of a vector environment's own infos; what an environment has under such a key is left out."""


class LockstepVectorEnv(VectorEnv):
    """As gymnasium's `SyncVectorEnv` with `AutoresetMode.SAME_STEP`, at a third of its cost per step.

    An environment is reset in the step that ends its episode; `info["final_obs"]` holds the episode's last observation. Every
    step returns new arrays.

    Args:
        envs: the environments, at least one; all have the same spaces. Observations are arrays, or dicts of arrays. What they
            return is checked, see `polyrl.envs.contract.Contract`.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, envs: Sequence[gymnasium.Env[Any, Any]]):
        self.envs = list(envs)
        self.num_envs = len(self.envs)
        check_has_spaces(self.envs[0])
        self.single_observation_space = self.envs[0].observation_space
        self.single_action_space = self.envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        space = self.single_observation_space
        # Shape and dtype of the observations of all environments.
        self._parts = {key: self._form(part) for key, part in space.items()} if isinstance(space, Dict) else None
        self._whole = self._form(space)
        self._contracts = [Contract(env, index) for index, env in enumerate(self.envs)]
        self.render_mode = self.envs[0].render_mode

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if seed is None or isinstance(seed, (int, np.integer)):
            seed = [None if seed is None else int(seed) + index for index in range(self.num_envs)]
        observations, infos = self._empty(), dict[str, Any]()
        try:
            for index, env in enumerate(self._contracts):
                observation, info = env.reset(seed=seed[index], options=options)
                self._put(observations, index, observation)
                infos = with_info(self, infos, info, index) if info else infos
        except Exception as error:
            self._contracts[index].note(error)
            raise
        return observations, infos

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        observations, rewards = self._empty(), np.empty(self.num_envs)
        terminated, truncated = np.zeros(self.num_envs, np.bool_), np.zeros(self.num_envs, np.bool_)
        infos: dict[str, Any] = {}
        try:
            for index, env in enumerate(self._contracts):
                observation, rewards[index], is_terminated, is_truncated, info = env.step(actions[index])
                if is_terminated or is_truncated:
                    terminated[index], truncated[index] = is_terminated, is_truncated
                    # Copied before the reset: an environment may write its next observation into the same array.
                    final = np.array(observation) if self._parts is None else {k: np.array(v) for k, v in observation.items()}
                    infos = self._add_info(infos, {"final_obs": final, "final_info": {}}, index)
                    infos["final_info"] = with_info(self, infos["final_info"], info, index)
                    observation, info = env.reset()
                self._put(observations, index, observation)
                infos = with_info(self, infos, info, index) if info else infos
        except Exception as error:
            self._contracts[index].note(error)
            raise
        return observations, rewards, terminated, truncated, infos

    def close_extras(self, **kwargs: Any) -> None:
        for env in self.envs:
            env.close()

    def _empty(self) -> Any:
        if self._parts is None:
            return np.empty(*self._whole)
        return {key: np.empty(*form) for key, form in self._parts.items()}

    def _put(self, observations: Any, index: int, observation: Any) -> None:
        if self._parts is None:
            observations[index] = observation
            return
        for key, array in observations.items():
            array[index] = observation[key]

    def _form(self, space: gymnasium.Space[Any]) -> tuple[tuple[int, ...], Any]:
        return (self.num_envs, *(space.shape or ())), space.dtype


def with_info(vector: VectorEnv, infos: dict[str, Any], info: Mapping[str, Any], index: int) -> dict[str, Any]:
    """A vector environment's `infos` with those of one environment, under names that are not taken for its own."""
    own = {key: value for key, value in info.items() if key not in TAKEN}
    try:
        return vector._add_info(infos, own, index)
    except Exception:  # Values that do not fit into one array, or not with those of the other environments.
        known = {key: value for key, value in own.items() if key == MASK}
        return vector._add_info(infos, known, index)
