"""`DeepSea`: a problem of deep exploration (Osband et al. 2019; as in bsuite, Osband et al. 2020)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput
from polyrl.validation import check_int

MOVE_COST = 0.01  # of `size` moves to the right
TREASURE = 1.0


class DeepSeaState(NamedTuple):
    """Row and column of the diver; int32 `[N]` each. The row is `size` at the end of the episode."""

    row: tf.Tensor
    column: tf.Tensor


class DeepSea(CompiledEnvironment):
    """Dive `size` rows down from the upper left corner, in each step one column to the left or to the right.

    A move to the right costs 0.01 / size. A move to the right from the last cell of the last row finds a treasure of 1: of the
    `2 ** size` sequences of actions one reaches it, with a return of 0.99; the best return of the others is 0. Observations
    are float32 `[size, size]`, 1 where the diver is. The episode terminates after `size` steps, with an observation of zeros.

    Args:
        num_envs: how many run in parallel while training.
        size: number of rows and of columns, at least 1.
        mapping_seed: seed of the random choice, in each cell, which of the two actions moves to the right (as in bsuite);
            None: action 1 everywhere.

    Raises:
        TypeError, ValueError: for a `size` that is not an integer of at least 1, or a `mapping_seed` that is not one of at
            least 0.
    """

    action_space = Discrete(2)

    def __init__(self, num_envs: int = 1, size: int = 10, mapping_seed: int | None = None):
        super().__init__(num_envs)
        self.size = check_int("size", size, minimum=1)
        self.observation_space = Box(0.0, 1.0, [self.size, self.size], np.float32)
        self.right = np.ones([self.size, self.size], np.int32)
        """The action that moves to the right, `[row, column]`."""
        if mapping_seed is not None:
            random = np.random.RandomState(check_int("mapping_seed", mapping_seed, minimum=0))
            self.right = random.binomial(1, 0.5, [self.size, self.size]).astype(np.int32)

    def reset(self, num_envs: int, seed: tf.Tensor) -> DeepSeaState:
        return DeepSeaState(tf.zeros([num_envs], tf.int32), tf.zeros([num_envs], tf.int32))

    def step(self, state: DeepSeaState, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        last = self.size - 1
        right = action == tf.gather(tf.constant(self.right.ravel()), state.row * self.size + state.column)
        reward = tf.where(right, -MOVE_COST / self.size, 0.0) + tf.where(right & (state.column == last), TREASURE, 0.0)
        column = tf.clip_by_value(state.column + tf.where(right, 1, -1), 0, last)
        row = state.row + 1
        return StepOutput(DeepSeaState(row, column), reward, row >= self.size)

    def observe(self, state: DeepSeaState) -> tf.Tensor:
        # Below the last row the index is out of range, and `one_hot` gives zeros.
        board = tf.one_hot(state.row * self.size + state.column, self.size**2)
        return tf.reshape(board, [-1, self.size, self.size])
