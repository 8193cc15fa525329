"""CartPole in the graph."""

from __future__ import annotations

import math
from typing import NamedTuple

from polyrl import ops
from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput

import gymnasium
import numpy as np
import tensorflow as tf


class CartPoleState(NamedTuple):
    """Position and velocity of the cart, angle and angular velocity of the pole; float32 `[N]` each."""

    x: tf.Tensor
    x_dot: tf.Tensor
    theta: tf.Tensor
    theta_dot: tf.Tensor


class CartPole(CompiledEnvironment):
    """`CartPole-v1` of gymnasium (Barto, Sutton and Anderson 1983)."""

    _LIMITS = (2.4, 12 * 2 * math.pi / 360)
    _HIGH = np.array([2 * _LIMITS[0], np.inf, 2 * _LIMITS[1], np.inf], np.float32)
    observation_space = gymnasium.spaces.Box(-_HIGH, _HIGH, dtype=np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    max_episode_steps = 500

    def reset(self, num_envs: int, seed: tf.Tensor) -> CartPoleState:
        return CartPoleState(*tf.unstack(ops.uniform([4, num_envs], seed) * 0.1 - 0.05))

    def step(self, state: CartPoleState, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        x, x_dot, theta, theta_dot = state
        gravity, pole_mass, total_mass, half_length, tau = 9.8, 0.1, 1.1, 0.5, 0.02
        force = tf.where(tf.equal(action, 1), 10.0, -10.0)
        cos, sin = tf.cos(theta), tf.sin(theta)
        push = (force + pole_mass * half_length * tf.square(theta_dot) * sin) / total_mass
        theta_acc = (gravity * sin - cos * push) / (half_length * (4.0 / 3.0 - pole_mass * tf.square(cos) / total_mass))
        x_acc = push - pole_mass * half_length * theta_acc * cos / total_mass
        moved = CartPoleState(x + tau * x_dot, x_dot + tau * x_acc, theta + tau * theta_dot, theta_dot + tau * theta_acc)
        terminated = (tf.abs(moved.x) > self._LIMITS[0]) | (tf.abs(moved.theta) > self._LIMITS[1])
        return StepOutput(moved, tf.ones_like(x), terminated)

    def observe(self, state: CartPoleState) -> tf.Tensor:
        return tf.stack(state, axis=1)
