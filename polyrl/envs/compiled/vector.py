"""`TensorVectorEnv`: an in-graph environment as one of gymnasium's vectors, for evaluation and inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polyrl.envs.compiled.base import CompiledEnvironment

import gymnasium
import numpy as np
import tensorflow as tf
from gymnasium.vector import AutoresetMode, VectorEnv


class TensorVectorEnv(VectorEnv):
    """Steps `N` environments by one traced call; an episode that ends starts again in the same step.

    The random numbers are a function of the seed given to `reset` and the number of steps since then.
    """

    def __init__(self, env: CompiledEnvironment, num_envs: int):
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = num_envs
        self.single_observation_space = env.observation_space
        self.single_action_space = env.action_space
        self.observation_space = gymnasium.vector.utils.batch_space(env.observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(env.action_space, num_envs)
        self._env = env
        self._call = tf.function(self._build_step, autograph=False)
        self._key, self._steps = 0, 0

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """First observations `[N, ...]`. One seed for each environment is as good as one for all: they are mixed."""
        entropy = np.random.SeedSequence(None if seed is None else [abs(int(part)) for part in np.atleast_1d(seed)])
        self._key, self._steps = int(entropy.generate_state(1, np.uint64)[0] >> 1), 0
        self._state = self._env.reset(self.num_envs, self._seed(0))
        self._lengths = np.zeros(self.num_envs, np.int64)
        return self._env.observe(self._state).numpy(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """As gymnasium's vectors in mode SAME_STEP: `info["final_obs"]` holds the last observations where episodes ended."""
        self._steps += 1
        self._lengths += 1
        limit = self._env.max_episode_steps
        truncated = np.zeros(self.num_envs, np.bool_) if limit is None else self._lengths >= limit
        action = tf.constant(np.asarray(actions, self.single_action_space.dtype))
        action = tf.cast(action, tf.int32) if action.dtype.is_integer else action
        self._state, *outputs = self._call(self._state, action, tf.constant(truncated), self._seed(1), self._seed(2))
        observation, final, reward, terminated = (output.numpy() for output in outputs)
        ended = terminated | truncated
        info: dict[str, Any] = {}
        if ended.any():
            rows = np.empty(self.num_envs, object)
            for index in np.flatnonzero(ended):
                rows[index] = final[index]
            info = {"final_obs": rows, "_final_obs": ended}
            self._lengths[ended] = 0
        return observation, reward.astype(np.float64), terminated, truncated, info

    def _build_step(
        self, state: Any, action: tf.Tensor, truncated: tf.Tensor, step_seed: tf.Tensor, reset_seed: tf.Tensor
    ) -> tuple[Any, ...]:
        following, reward, terminated = self._env.step(state, action, step_seed)
        fresh = self._env.reset(self.num_envs, reset_seed)
        state = restarted(terminated | truncated, fresh, following)
        return state, self._env.observe(state), self._env.observe(following), reward, terminated

    def _seed(self, use: int) -> tf.Tensor:
        return tf.constant([self._key, 3 * self._steps + use], tf.int64)


def restarted(ended: tf.Tensor, fresh: Any, state: Any) -> Any:
    """The nest `fresh` of `[N, ...]` where `ended` `[N]`, elsewhere `state`."""

    def choose(new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reshape(ended, [-1, *[1] * (old.shape.rank - 1)]), new, old)

    return tf.nest.map_structure(choose, fresh, state)
