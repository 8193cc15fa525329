"""`MountainCar`: gymnasium's MountainCar-v0 (Moore 1990)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput
from polyrl.ops import uniform

FORCE = 0.001
GRAVITY = 0.0025
MIN_POSITION, MAX_POSITION = -1.2, 0.6
MAX_VELOCITY = 0.07  # per step
GOAL = 0.5
_HIGH = np.array([MAX_POSITION, MAX_VELOCITY], np.float32)
_LOW = np.array([MIN_POSITION, -MAX_VELOCITY], np.float32)


class MountainCarState(NamedTuple):
    """Position along the valley, and velocity per step; float32 `[N]` each."""

    position: tf.Tensor
    velocity: tf.Tensor


class MountainCar(CompiledEnvironment):
    """Swing a weak car out of a valley: actions 0, 1, 2 push it to the left, not at all, to the right; reward -1 each step.

    Observations are the state, float32 `[2]`. Episodes start at rest, uniformly in [-0.6, -0.4], and terminate when the car is
    at 0.5 or beyond and does not move to the left.
    """

    observation_space = Box(_LOW, _HIGH, dtype=np.float32)
    action_space = Discrete(3)
    max_episode_steps = 200

    def reset(self, num_envs: int, seed: tf.Tensor) -> MountainCarState:
        position = uniform([num_envs], seed) * 0.2 - 0.6
        return MountainCarState(position, tf.zeros_like(position))

    def step(self, state: MountainCarState, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        push = tf.cast(action - 1, tf.float32) * FORCE
        velocity = state.velocity + push - GRAVITY * tf.cos(3.0 * state.position)
        velocity = tf.clip_by_value(velocity, -MAX_VELOCITY, MAX_VELOCITY)
        position = tf.clip_by_value(state.position + velocity, MIN_POSITION, MAX_POSITION)
        # The wall on the left stops the car.
        velocity = tf.where((position <= MIN_POSITION) & (velocity < 0.0), 0.0, velocity)
        return StepOutput(
            MountainCarState(position, velocity), -tf.ones_like(position), (position >= GOAL) & (velocity >= 0.0)
        )

    def observe(self, state: MountainCarState) -> tf.Tensor:
        return tf.stack(state, axis=1)
