"""`Acrobot`: gymnasium's Acrobot-v1 (Sutton 1996), by the equations of Sutton and Barto's book."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput
from polyrl.ops import uniform

GRAVITY = 9.8  # m / s^2
# Both links: a mass of 1 kg, a length of 1 m, the centre of mass in the middle, a moment of inertia of 1 kg m^2.
CENTRE = 0.5  # m
INERTIA = 1.0  # kg m^2
TAU = 0.2  # s per step
MAX_VELOCITY1, MAX_VELOCITY2 = 4 * math.pi, 9 * math.pi  # rad / s
_HIGH = np.array([1, 1, 1, 1, MAX_VELOCITY1, MAX_VELOCITY2], np.float32)


class AcrobotState(NamedTuple):
    """Angles in rad of the first link to the vertical and of the second to the first, and angular velocities in rad / s.

    All float32 `[N]`.
    """

    theta1: tf.Tensor
    theta2: tf.Tensor
    velocity1: tf.Tensor
    velocity2: tf.Tensor


class Acrobot(CompiledEnvironment):
    """Swing up two hanging links by a torque between them: actions 0, 1, 2 for -1, 0, 1 N m; reward -1 each step.

    Observations, float32 `[6]`: cosine and sine of the first and of the second angle, then both velocities. All four start
    uniformly in [-0.1, 0.1]. The episode terminates, with a reward of 0, when the free end is more than 1 m above the pivot.
    """

    observation_space = Box(-_HIGH, _HIGH, dtype=np.float32)
    action_space = Discrete(3)
    max_episode_steps = 500

    def reset(self, num_envs: int, seed: tf.Tensor) -> AcrobotState:
        return AcrobotState(*tf.unstack(uniform([4, num_envs], seed) * 0.2 - 0.1))

    def step(self, state: AcrobotState, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        torque = tf.cast(action - 1, tf.float32)
        # One step of the classical Runge-Kutta method.
        k1 = _derivatives(state, torque)
        k2 = _derivatives(_moved(state, k1, TAU / 2), torque)
        k3 = _derivatives(_moved(state, k2, TAU / 2), torque)
        k4 = _derivatives(_moved(state, k3, TAU), torque)
        slope = AcrobotState(*(a + 2.0 * (b + c) + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True)))
        theta1, theta2, velocity1, velocity2 = _moved(state, slope, TAU / 6)
        next_state = AcrobotState(
            _wrapped(theta1),
            _wrapped(theta2),
            tf.clip_by_value(velocity1, -MAX_VELOCITY1, MAX_VELOCITY1),
            tf.clip_by_value(velocity2, -MAX_VELOCITY2, MAX_VELOCITY2),
        )
        terminated = -tf.cos(next_state.theta1) - tf.cos(next_state.theta1 + next_state.theta2) > 1.0
        return StepOutput(next_state, tf.where(terminated, 0.0, -1.0), terminated)

    def observe(self, state: AcrobotState) -> tf.Tensor:
        angles = (tf.cos(state.theta1), tf.sin(state.theta1), tf.cos(state.theta2), tf.sin(state.theta2))
        return tf.stack([*angles, state.velocity1, state.velocity2], axis=1)


def _derivatives(state: AcrobotState, torque: tf.Tensor) -> AcrobotState:
    """The time derivatives of the state; `torque` is `[N]` in N m."""
    theta1, theta2, velocity1, velocity2 = state
    cos2, sin2 = tf.cos(theta2), tf.sin(theta2)
    # Masses and lengths are 1 and left out.
    d1 = CENTRE**2 + (1.0 + CENTRE**2 + 2 * CENTRE * cos2) + 2 * INERTIA
    d2 = CENTRE**2 + CENTRE * cos2 + INERTIA
    # cos(x - pi / 2) = sin(x)
    phi2 = CENTRE * GRAVITY * tf.sin(theta1 + theta2)
    coupling = -CENTRE * velocity2 * (velocity2 + 2.0 * velocity1) * sin2
    phi1 = coupling + (CENTRE + 1.0) * GRAVITY * tf.sin(theta1) + phi2
    ratio = d2 / d1
    pull = torque + ratio * phi1 - CENTRE * tf.square(velocity1) * sin2 - phi2
    acceleration2 = pull / (CENTRE**2 + INERTIA - d2 * ratio)
    acceleration1 = -(d2 * acceleration2 + phi1) / d1
    return AcrobotState(velocity1, velocity2, acceleration1, acceleration2)


def _moved(state: AcrobotState, slope: AcrobotState, time: float) -> AcrobotState:
    return AcrobotState(*(value + time * change for value, change in zip(state, slope, strict=True)))


def _wrapped(angle: tf.Tensor) -> tf.Tensor:
    """The same angle within [-pi, pi]."""
    return angle - 2 * math.pi * tf.round(angle / (2 * math.pi))
