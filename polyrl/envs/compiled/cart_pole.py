"""`CartPole`: gymnasium's CartPole-v1 (Barto, Sutton and Anderson 1983)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput
from polyrl.ops import uniform

GRAVITY = 9.8  # m / s^2
POLE_MASS = 0.1  # kg
TOTAL_MASS = 1.1  # kg, of the cart and the pole
HALF_LENGTH = 0.5  # m, of the pole
POLE_MOMENT = POLE_MASS * HALF_LENGTH
FORCE = 10.0  # N
TAU = 0.02  # s per step
MAX_X = 2.4  # m
MAX_THETA = 12 * 2 * math.pi / 360  # rad
_HIGH = np.array([2 * MAX_X, np.inf, 2 * MAX_THETA, np.inf], np.float32)


class CartPoleState(NamedTuple):
    """Position of the cart in m, angle of the pole in rad (0 upright), and their velocities per s; float32 `[N]` each."""

    x: tf.Tensor
    x_dot: tf.Tensor
    theta: tf.Tensor
    theta_dot: tf.Tensor


class CartPole(CompiledEnvironment):
    """Balance a pole on a cart: action 0 pushes it to the left, 1 to the right, for a reward of 1 each step.

    Observations are the state, float32 `[4]`, which starts uniformly in [-0.05, 0.05]. The episode terminates when the cart is
    more than 2.4 m from the centre or the pole more than 12 degrees from the vertical.
    """

    observation_space = Box(-_HIGH, _HIGH, dtype=np.float32)
    action_space = Discrete(2)
    max_episode_steps = 500

    def reset(self, num_envs: int, seed: tf.Tensor) -> CartPoleState:
        return CartPoleState(*tf.unstack(uniform([4, num_envs], seed) * 0.1 - 0.05))

    def step(self, state: CartPoleState, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        x, x_dot, theta, theta_dot = state
        force = tf.where(action == 1, FORCE, -FORCE)
        cos, sin = tf.cos(theta), tf.sin(theta)
        push = (force + POLE_MOMENT * tf.square(theta_dot) * sin) / TOTAL_MASS
        theta_acc = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE_MASS / TOTAL_MASS * tf.square(cos)))
        x_acc = push - POLE_MOMENT / TOTAL_MASS * theta_acc * cos
        next_state = CartPoleState(
            x + TAU * x_dot,
            x_dot + TAU * x_acc,
            theta + TAU * theta_dot,
            theta_dot + TAU * theta_acc,
        )
        fallen = (tf.abs(next_state.x) > MAX_X) | (tf.abs(next_state.theta) > MAX_THETA)
        return StepOutput(next_state, tf.ones_like(x), fallen)

    def observe(self, state: CartPoleState) -> tf.Tensor:
        return tf.stack(state, axis=1)
