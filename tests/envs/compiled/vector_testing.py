"""In-graph environments and rollouts for the tests of `TensorVectorEnv`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.envs.compiled import CompiledEnvironment, MountainCar, StepOutput
from polyrl.envs.compiled.mountain_car import MountainCarState


class WalkState(NamedTuple):
    """Number of steps so far, at which number the episode terminates, and the last action; int32 `[N]` each."""

    count: tf.Tensor
    end: tf.Tensor
    action: tf.Tensor


class Walk(CompiledEnvironment):
    """Terminates after 1 to 9 steps, at random; the reward of the t-th step is t."""

    observation_space = Box(0, 255, [3], np.uint8)
    action_space = Discrete(4)
    max_episode_steps = 6

    def reset(self, num_envs, seed):
        end = tf.random.stateless_uniform([num_envs], seed, 1, 10, tf.int32, alg="philox")
        return WalkState(tf.zeros_like(end), end, tf.zeros_like(end))

    def step(self, state, action, seed):
        state = WalkState(state.count + 1, state.end, action)
        return StepOutput(state, tf.cast(state.count, tf.float32), state.count >= state.end)

    def observe(self, state):
        return tf.cast(tf.stack(state, axis=1), tf.uint8)


class NearGoal(MountainCar):
    """Starts one step from the goal; that step is the last one allowed."""

    max_episode_steps = 1

    def reset(self, num_envs, seed):
        return MountainCarState(tf.fill([num_envs], 0.49), tf.fill([num_envs], 0.05))


def drive(vector, seed, steps, actions_seed=0):
    """The outputs of random actions: `(observation, reward, terminated, truncated, info)` of each step."""
    vector.action_space.seed(actions_seed)
    first, info = vector.reset(seed=seed)
    return [(first, None, None, None, info)] + [vector.step(vector.action_space.sample()) for _ in range(steps)]


def same(first, second) -> bool:
    return all(np.array_equal(one[0], other[0]) for one, other in zip(first, second, strict=True))
