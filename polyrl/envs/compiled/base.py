"""`CompiledEnvironment`: dynamics as functions of tensors, for many environments at once."""

from __future__ import annotations

from typing import Any, NamedTuple

from polyrl.envs.environment import Environment
from polyrl.validation import check_int

import gymnasium
import tensorflow as tf
from gymnasium.vector import VectorEnv

State = Any


class StepOutput(NamedTuple):
    """What a step gives: the next `state`, a nest of `[N, ...]`; `reward` float32 `[N]`; `terminated` bool `[N]`."""

    state: State
    reward: tf.Tensor
    terminated: tf.Tensor


class CompiledEnvironment(Environment):
    """An environment whose dynamics run in the graph, together with the learning.

    Its methods are pure functions of tensors, batched over `N` environments. They run the same eagerly, traced and compiled by
    XLA, so: static shapes, no Python branches on tensors, no variables. Whoever drives it starts the next episode where one
    ends, and counts the time limit.

    Attributes:
        observation_space: of one environment.
        action_space: of one environment.
        max_episode_steps: after so many steps an episode is truncated; None: never.

    Args:
        num_envs: how many run in parallel while training.
    """

    observation_space: gymnasium.spaces.Box
    action_space: gymnasium.spaces.Discrete | gymnasium.spaces.Box
    max_episode_steps: int | None = None

    def __init__(self, num_envs: int = 1):
        self.num_envs = check_int("num_envs", num_envs, minimum=1)

    def open(self, num_envs: int | None = None) -> VectorEnv:
        # It needs this class.
        from polyrl.envs.compiled.vector import TensorVectorEnv

        return TensorVectorEnv(self, self.num_envs if num_envs is None else num_envs)

    def reset(self, num_envs: int, seed: tf.Tensor) -> State:
        """First states of `num_envs` episodes, a nest of `[N, ...]`; `seed` int `[2]`, for stateless random ops."""
        raise NotImplementedError

    def step(self, state: State, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        """One step; `action` int32 `[N]`, or float32 `[N, k]` for a Box."""
        raise NotImplementedError

    def observe(self, state: State) -> tf.Tensor:
        """What the agent sees, `[N, ...]` in the observation space's shape and dtype."""
        raise NotImplementedError
