"""`Pendulum`: gymnasium's Pendulum-v1."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box

from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput
from polyrl.ops import uniform

GRAVITY = 10.0  # m / s^2
# A rod of 1 kg and 1 m.
TAU = 0.05  # s per step
MAX_VELOCITY = 8.0  # rad / s
MAX_TORQUE = 2.0  # N m
_HIGH = np.array([1, 1, MAX_VELOCITY], np.float32)


class PendulumState(NamedTuple):
    """Angle in rad within [-pi, pi], 0 upright, and angular velocity in rad / s; float32 `[N]` each."""

    theta: tf.Tensor
    velocity: tf.Tensor


class Pendulum(CompiledEnvironment):
    """Swing up a rod and hold it: the action, float32 `[1]`, is a torque in N m, clipped to [-2, 2].

    Observations, float32 `[3]`: cosine and sine of the angle, and the velocity. Angles start uniformly in [-pi, pi] and
    velocities in [-1, 1]. The reward is `-(theta^2 + 0.1 velocity^2 + 0.001 torque^2)` of the state before the step. Episodes
    never terminate.
    """

    observation_space = Box(-_HIGH, _HIGH, dtype=np.float32)
    action_space = Box(-MAX_TORQUE, MAX_TORQUE, [1], np.float32)
    max_episode_steps = 200

    def reset(self, num_envs: int, seed: tf.Tensor) -> PendulumState:
        angle, velocity = tf.unstack(uniform([2, num_envs], seed) * 2.0 - 1.0)
        return PendulumState(angle * math.pi, velocity)

    def step(self, state: PendulumState, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        theta, velocity = state
        torque = tf.clip_by_value(action[:, 0], -MAX_TORQUE, MAX_TORQUE)
        cost = tf.square(theta) + 0.1 * tf.square(velocity) + 0.001 * tf.square(torque)
        velocity = velocity + TAU * (1.5 * GRAVITY * tf.sin(theta) + 3.0 * torque)
        velocity = tf.clip_by_value(velocity, -MAX_VELOCITY, MAX_VELOCITY)
        theta = theta + TAU * velocity
        # gymnasium lets the angle grow and wraps it in the reward; float32 is more exact for a small angle.
        theta = theta - 2 * math.pi * tf.round(theta / (2 * math.pi))
        return StepOutput(PendulumState(theta, velocity), -cost, tf.zeros_like(theta, tf.bool))

    def observe(self, state: PendulumState) -> tf.Tensor:
        return tf.stack([tf.cos(state.theta), tf.sin(state.theta), state.velocity], axis=1)
