"""`Catch`: bsuite's (Osband et al. 2020), after Mnih et al. 2014."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput
from polyrl.validation import check_int


class CatchState(NamedTuple):
    """Columns of ball and paddle, and the row of the ball; int32 `[N]` each."""

    ball: tf.Tensor
    row: tf.Tensor
    paddle: tf.Tensor


class Catch(CompiledEnvironment):
    """Catch a falling ball: actions 0, 1, 2 move the paddle to the left, not at all, to the right.

    Observations are the board, float32 `[rows, columns]`, 1 at the ball and at the paddle in the last row, 0 elsewhere. The
    ball starts in a random column of the first row and falls by one row each step; the paddle starts in the middle. When the
    ball reaches the last row the episode terminates, with a reward of 1 if it is caught and -1 if not; other rewards are 0.

    Args:
        num_envs: how many run in parallel while training.
        rows: rows of the board, at least 2; an episode has `rows - 1` steps.
        columns: columns of the board, at least 1.

    Raises:
        TypeError, ValueError: for a number of rows or columns that is not an integer or too small.
    """

    action_space = Discrete(3)

    def __init__(self, num_envs: int = 1, rows: int = 10, columns: int = 5):
        super().__init__(num_envs)
        self.rows = check_int("rows", rows, minimum=2)
        self.columns = check_int("columns", columns, minimum=1)
        self.observation_space = Box(0.0, 1.0, [self.rows, self.columns], np.float32)

    def reset(self, num_envs: int, seed: tf.Tensor) -> CatchState:
        # Random integers of philox are the same with and without XLA.
        ball = tf.random.stateless_uniform([num_envs], seed, 0, self.columns, tf.int32, alg="philox")
        return CatchState(ball, tf.zeros_like(ball), tf.fill([num_envs], self.columns // 2))

    def step(self, state: CatchState, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        paddle = tf.clip_by_value(state.paddle + action - 1, 0, self.columns - 1)
        row = state.row + 1
        terminated = row >= self.rows - 1
        reward = tf.where(terminated, tf.where(paddle == state.ball, 1.0, -1.0), 0.0)
        return StepOutput(CatchState(state.ball, row, paddle), reward, terminated)

    def observe(self, state: CatchState) -> tf.Tensor:
        cells = self.rows * self.columns
        ball = tf.one_hot(state.row * self.columns + state.ball, cells)
        paddle = tf.one_hot((self.rows - 1) * self.columns + state.paddle, cells)
        return tf.reshape(tf.maximum(ball, paddle), [-1, self.rows, self.columns])
