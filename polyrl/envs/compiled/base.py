"""`CompiledEnvironment`: an environment as pure functions of tensors, which can be compiled into the training loop."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.validation import check_int


class StepOutput(NamedTuple):
    """One step of `N` environments, before any reset.

    `state` a nest of tensors `[N, ...]`, the last state of an episode that ended; `reward` float32 `[N]`; `terminated` bool
    `[N]`, not set by `max_episode_steps`.
    """

    state: Any
    reward: tf.Tensor
    terminated: tf.Tensor


class CompiledEnvironment(abc.ABC):
    """An environment whose episodes are computed by TensorFlow.

    A subclass defines three functions of `N` environments at once. Everything about an episode is in the `state` that they
    take and return: a nest of tensors `[N, ...]`, preferably a NamedTuple of tensors `[N]`. They use neither variables nor
    Python branches on tensors, and shapes are static, so that they run eagerly, in a `tf.function`, in a `tf.while_loop` and
    under XLA. All randomness comes from the seed: `polyrl.ops.uniform(shape, seed)` returns the same numbers with and without
    XLA, which TensorFlow's random floats do not. The caller resets an environment after the end of an episode.

    Attributes:
        observation_space: of one environment.
        action_space: of one environment; a `Discrete` starts at 0.
        max_episode_steps: number of steps after which the caller truncates an episode; None: never.
        num_envs: how many run in parallel while training.
        traced: the traced functions of `TensorVectorEnv` by number of environments, so that another one traces nothing again.

    Raises:
        TypeError: if `num_envs` is not an integer.
        ValueError: if `num_envs` is below 1.
    """

    observation_space: Box
    action_space: Discrete | Box
    max_episode_steps: int | None = None

    def __init__(self, num_envs: int = 1):
        self.num_envs = check_int("num_envs", num_envs, minimum=1)
        self.traced: dict[int, Any] = {}

    @abc.abstractmethod
    def reset(self, num_envs: int, seed: tf.Tensor) -> Any:
        """First states of `num_envs` new episodes; `seed`, int32 `[2]`, determines all randomness."""

    @abc.abstractmethod
    def step(self, state: Any, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        """Takes one action in each environment.

        Args:
            state: as `reset` or `step` returned it.
            action: int32 `[N]`; float32 `[N, k]` for continuous actions.
            seed: int32 `[2]`, determines all randomness.
        """

    @abc.abstractmethod
    def observe(self, state: Any) -> tf.Tensor:
        """The observations of a state: `[N, *observation_space.shape]` in the dtype of the space."""
