"""`CompiledEnvironment`: an environment as pure functions of tensors, which the training loop can compile together with it."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.validation import check_int


class StepOutput(NamedTuple):
    """One step of `N` environments, before any reset.

    `state` a nest of tensors `[N, ...]`; `reward` float32 `[N]`; `terminated` bool `[N]`: the episode is over by the rules of
    the environment.
    """

    state: Any
    reward: tf.Tensor
    terminated: tf.Tensor


class CompiledEnvironment(abc.ABC):
    """An environment whose episodes are computed by TensorFlow.

    A subclass has three functions of `N` environments at once. All that they know of an episode is in the `state`, which they
    give and are given: a nest of tensors `[N, ...]`, best a NamedTuple of columns `[N]`. They use no variables and no Python
    branches on tensors, and keep shapes static, so that they run eagerly, in a `tf.function`, in a `tf.while_loop` and under
    XLA. Chance comes from the seed alone: `polyrl.ops.uniform(shape, seed)` gives the same numbers with and without XLA, which
    TensorFlow's random floats do not. After a step that terminates, whoever drives the environment goes on from a new state.

    Attributes:
        observation_space: of one environment.
        action_space: of one environment; a `Discrete` begins at 0.
        max_episode_steps: an episode is truncated after so many steps, or never. Counted by whoever drives the environment.
        num_envs: how many run in parallel while training.
        traced: the calls of `TensorVectorEnv` by number of environments, so that opening another one traces nothing anew.

    Raises:
        TypeError, ValueError: for a `num_envs` that is no integer of at least 1.
    """

    observation_space: Box
    action_space: Discrete | Box
    max_episode_steps: int | None = None

    def __init__(self, num_envs: int = 1):
        self.num_envs = check_int("num_envs", num_envs, minimum=1)
        self.traced: dict[int, Any] = {}

    @abc.abstractmethod
    def reset(self, num_envs: int, seed: tf.Tensor) -> Any:
        """First states of `num_envs` new episodes, drawn by `seed`, integers `[2]`."""

    @abc.abstractmethod
    def step(self, state: Any, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        """Takes one action in each environment.

        Args:
            state: as `reset` or `step` gave it.
            action: int32 `[N]`; float32 `[N, k]` for an action space of `k` numbers.
            seed: integers `[2]`, for what is left to chance.
        """

    @abc.abstractmethod
    def observe(self, state: Any) -> tf.Tensor:
        """What is seen in a state: `[N, *observation_space.shape]` in the dtype of the space."""
