"""`TensorVectorEnv`: a `CompiledEnvironment` as a gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import tensorflow as tf
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from polyrl.engine.tracing import traced
from polyrl.envs.compiled.base import CompiledEnvironment
from polyrl.envs.compiled.check import action_spec, check_environment
from polyrl.validation import check_int


class TensorVectorEnv(VectorEnv):
    """Steps `N` environments by one compiled call; each is reset in the step that ends its episode.

    As with gymnasium's `TimeLimit`, `truncated` is set in the last allowed step even if the episode also terminates in it.
    The episodes are a function of the last seed passed to `reset`, and of the calls since.

    Args:
        env: the environment.
        num_envs: `N`.

    Raises:
        TypeError, ValueError: from `check_environment`.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, env: CompiledEnvironment, num_envs: int = 1):
        self.num_envs = check_int("num_envs", num_envs, minimum=1)
        check_environment(env, self.num_envs)
        self.env = env
        self.single_observation_space = env.observation_space
        self.single_action_space = env.action_space
        self.observation_space = batch_space(env.observation_space, self.num_envs)
        self.action_space = batch_space(env.action_space, self.num_envs)
        self._root: list[int] | None = None
        self._count = 0
        self._state: Any = None
        self._actions = action_spec(env, self.num_envs)
        if self.num_envs not in env.traced:
            functions = (self._build_reset, self._build_step)  # Functions of the environment and of `N` only.
            # By XLA even with jit="off": TensorFlow's graph optimizer makes one operation of a sum of three or more tensors,
            # and that adds them in an order that depends on whose memory is free, so that the last bits may differ.
            compiled = [traced(function, jit_compile=True) for function in functions]
            env.traced[self.num_envs] = tuple(compiled)
        self._reset_call, self._step_call = env.traced[self.num_envs]

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts new episodes; returns observations `[N, ...]`.

        Args:
            seed: a list of one seed for each environment, or `s` for `[s, s + 1, ...]`; random in place of a None in the
                list. None continues the random streams, which start from random seeds. The environments share the streams:
                the episodes of each depend on the seeds of all.
            options: not supported.

        Raises:
            ValueError: for another number of seeds, a negative seed, or options.
        """
        if options:
            raise ValueError(f"options={options} are not supported; pass None.")
        if seed is not None or self._root is None:
            self._root, self._count = self._roots(seed), 0
        observation, self._state = self._reset_call(self._seeds())
        return observation.numpy(), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Takes one action in each environment, `[N, ...]`; returns what gymnasium's `SyncVectorEnv` does.

        Raises:
            ValueError: for actions of another shape, or discrete actions that are out of range or not integers.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._state is None:
            raise gymnasium.error.ResetNeeded("Call reset before step.")
        outputs, self._state = self._step_call(self._state, self._checked(actions), self._seeds())
        observation, final, reward, terminated, truncated = (output.numpy() for output in outputs)
        info: dict[str, Any] = {}
        ended = terminated | truncated
        if ended.any():
            finals = np.full(self.num_envs, None, dtype=object)
            for index in np.flatnonzero(ended):
                finals[index] = final[index]
            info = {"final_obs": finals, "_final_obs": ended}
        return observation, reward.astype(np.float64), terminated, truncated, info

    def _build_reset(self, seeds: tf.Tensor) -> tuple[tf.Tensor, Any]:
        state = self.env.reset(self.num_envs, seeds[0])
        return self.env.observe(state), (state, tf.zeros([self.num_envs], tf.int32))

    def _build_step(self, carried: Any, actions: tf.Tensor, seeds: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Any]:
        """The outputs of a step, and the states and lengths of the running episodes."""
        state, reward, terminated = self.env.step(carried[0], actions, seeds[1])
        length, limit = carried[1] + 1, self.env.max_episode_steps
        truncated = tf.zeros_like(terminated) if limit is None else length >= limit
        ended = terminated | truncated
        first = self.env.reset(self.num_envs, seeds[0])
        current = restarted(ended, first, state)
        outputs = (self.env.observe(current), self.env.observe(state), reward, terminated, truncated)
        return outputs, (current, tf.where(ended, 0, length))

    def _checked(self, actions: Any) -> tf.Tensor:
        array = np.asarray(actions)
        if array.shape != self._actions.shape:
            raise ValueError(f"actions: expected shape {self._actions.shape}, got {array.shape}.")
        space = self.single_action_space
        if isinstance(space, Discrete) and not (array.dtype.kind in "iu" and array.min() >= 0 and array.max() < space.n):
            raise ValueError(f"actions={actions} must be integers from 0 to {space.n - 1}.")
        return tf.constant(array, self._actions.dtype)

    def _roots(self, seed: int | Sequence[int | None] | None) -> list[int]:
        """Two integers of 31 bits, mixed from all seeds: the roots of the random streams of resets and of steps."""
        if isinstance(seed, (int, np.integer)):
            seed = [int(seed) + index for index in range(self.num_envs)]
        seeds = [None] * self.num_envs if seed is None else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed={seed} must hold one seed for each of the {self.num_envs} environments.")
        drawn = np.random.default_rng().integers(2**31, size=self.num_envs)
        known = [int(drawn[index]) if one is None else int(one) for index, one in enumerate(seeds)]
        if min(known) < 0:
            raise ValueError(f"seed={seed} must not be negative.")
        return [int(root >> 1) for root in np.random.SeedSequence(known).generate_state(2)]

    def _seeds(self) -> tf.Tensor:
        """The seeds of this call's reset and step, int32 `[2, 2]`: the roots, and the number of calls so far."""
        assert self._root is not None
        count = self._count % 2**31
        self._count += 1
        return tf.constant([[self._root[0], count], [self._root[1], count]], tf.int32)


def restarted(ended: tf.Tensor, fresh: Any, state: Any) -> Any:
    """Where `ended` (bool `[N]`) the rows of `fresh`, elsewhere those of `state`; both are nests of tensors `[N, ...]`."""

    def choose(new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reshape(ended, [-1, *[1] * (old.shape.rank - 1)]), new, old)

    return tf.nest.map_structure(choose, fresh, state)
