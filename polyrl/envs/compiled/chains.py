"""Chains that ask for one ability each: to remember, to look far ahead, to tell cause from chance (bsuite, Osband 2020)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl import ops
from polyrl.envs.compiled.base import CompiledEnvironment, StepOutput
from polyrl.validation import check_int

DELAYS = (1, 3, 10, 30, 100)
"""Steps after which each chain of `DiscountingChain` pays."""


class MemoryState(NamedTuple):
    """The step, and what was shown at the start, 0 or 1; int32 `[N]` each."""

    step: tf.Tensor
    shown: tf.Tensor


class MemoryChain(CompiledEnvironment):
    """What is shown in the first state alone has to be said in the last one, `length` steps later.

    Observations are float32 `[3]`: the share of the steps that are done, 1 in the state that asks, and what is shown, -1 or 1
    in the first state and 0 elsewhere. The last action is worth 1 if it is what was shown (0 for -1), else -1; others give 0,
    and an episode terminates after `length + 1` steps. A policy without memory gets 0 in the mean.

    Args:
        num_envs: how many run in parallel while training.
        length: steps from what is shown to the question, at least 1.
    """

    observation_space = Box(-1.0, 1.0, [3], np.float32)
    action_space = Discrete(2)

    def __init__(self, num_envs: int = 1, length: int = 5):
        super().__init__(num_envs)
        self.length = check_int("length", length, minimum=1)

    def reset(self, num_envs: int, seed: tf.Tensor) -> MemoryState:
        return MemoryState(tf.zeros([num_envs], tf.int32), _below(2, num_envs, seed))

    def step(self, state: MemoryState, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        ends = state.step >= self.length
        right = tf.where(action == state.shown, 1.0, -1.0)
        return StepOutput(MemoryState(state.step + 1, state.shown), tf.where(ends, right, 0.0), ends)

    def observe(self, state: MemoryState) -> tf.Tensor:
        done = tf.minimum(tf.cast(state.step, tf.float32) / self.length, 1.0)
        asks = tf.cast(state.step == self.length, tf.float32)
        shown = tf.where(state.step == 0, 2.0 * tf.cast(state.shown, tf.float32) - 1.0, 0.0)
        return tf.stack([done, asks, shown], axis=1)


class DiscountingState(NamedTuple):
    """The step, and the chain that the first action chose, -1 before; int32 `[N]` each."""

    step: tf.Tensor
    chain: tf.Tensor


class DiscountingChain(CompiledEnvironment):
    """The first of 100 actions chooses one of five chains, which pays once, after 1, 3, 10, 30 or 100 steps.

    All pay 1, but one of them 1.1: with a discount close to 1 it is the best. Observations are float32 `[2]`: the chain, -1
    before the choice, and the share of the steps that are done. An episode terminates after 100 steps.

    Args:
        num_envs: how many run in parallel while training.
        best: the chain that pays 1.1, from 0 to 4.
    """

    observation_space = Box(-1.0, 4.0, [2], np.float32)
    action_space = Discrete(len(DELAYS))

    def __init__(self, num_envs: int = 1, best: int = 4):
        super().__init__(num_envs)
        self.best = check_int("best", best, minimum=0)
        if self.best >= len(DELAYS):
            raise ValueError(f"best={best} must be below {len(DELAYS)}, the number of chains.")

    def reset(self, num_envs: int, seed: tf.Tensor) -> DiscountingState:
        return DiscountingState(tf.zeros([num_envs], tf.int32), tf.fill([num_envs], -1))

    def step(self, state: DiscountingState, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        chain = tf.where(state.step == 0, action, state.chain)
        step = state.step + 1
        pays = step == tf.gather(tf.constant(DELAYS), chain)
        amount = tf.where(chain == self.best, 1.1, 1.0)
        return StepOutput(DiscountingState(step, chain), tf.where(pays, amount, 0.0), step >= max(DELAYS))

    def observe(self, state: DiscountingState) -> tf.Tensor:
        return tf.stack([tf.cast(state.chain, tf.float32), tf.cast(state.step, tf.float32) / max(DELAYS)], axis=1)


class UmbrellaState(NamedTuple):
    """The step, whether an umbrella will be needed, and whether there is one, int32 `[N]` each; distractors `[N, d]`."""

    step: tf.Tensor
    needed: tf.Tensor
    taken: tf.Tensor
    distractors: tf.Tensor


class UmbrellaChain(CompiledEnvironment):
    """The first action takes an umbrella (1) or not (0); whether that was right shows `length` steps later, among chance.

    Observations are float32 `[3 + distractors]`: -1 or 1 if it will be needed, -1 or 1 if it was taken (0 before), the share
    of the steps that are left, and random signs that mean nothing. Steps but the last pay 1 or -1 by chance; the last one 1
    if the first action was right and -1 if not, times `weight`. It terminates after `length` steps.

    Args:
        num_envs: how many run in parallel while training.
        length: steps, at least 2.
        distractors: numbers that mean nothing.
        weight: of the reward that depends on the first action.
    """

    action_space = Discrete(2)

    def __init__(self, num_envs: int = 1, length: int = 10, distractors: int = 2, weight: int = 1):
        super().__init__(num_envs)
        self.length = check_int("length", length, minimum=2)
        self.distractors = check_int("distractors", distractors, minimum=0)
        self.weight = check_int("weight", weight, minimum=1)
        self.observation_space = Box(-1.0, 1.0, [3 + self.distractors], np.float32)

    def reset(self, num_envs: int, seed: tf.Tensor) -> UmbrellaState:
        first = tf.zeros([num_envs], tf.int32)
        return UmbrellaState(first, _below(2, num_envs, seed), first, self._noise(num_envs, seed + 1))

    def step(self, state: UmbrellaState, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        taken = tf.where(state.step == 0, action, state.taken)
        step, count = state.step + 1, action.shape[0]
        ends = step >= self.length
        right = self.weight * tf.where(taken == state.needed, 1.0, -1.0)
        chance = 2.0 * tf.cast(_below(2, count, seed), tf.float32) - 1.0
        following = UmbrellaState(step, state.needed, taken, self._noise(count, seed + 1))
        return StepOutput(following, tf.where(ends, right, chance), ends)

    def observe(self, state: UmbrellaState) -> tf.Tensor:
        needed = 2.0 * tf.cast(state.needed, tf.float32) - 1.0
        taken = tf.where(state.step == 0, 0.0, 2.0 * tf.cast(state.taken, tf.float32) - 1.0)
        left = 1.0 - tf.cast(state.step, tf.float32) / self.length
        return tf.concat([tf.stack([needed, taken, left], axis=1), state.distractors], axis=1)

    def _noise(self, count: int, seed: tf.Tensor) -> tf.Tensor:
        """Random signs, float32 `[count, distractors]`."""
        return tf.where(ops.uniform([count, self.distractors], seed) < 0.5, -1.0, 1.0)


def _below(limit: int, count: int, seed: tf.Tensor) -> tf.Tensor:
    """Random integers from 0 to `limit - 1`, int32 `[count]`."""
    return tf.cast(ops.uniform([count], seed) * limit, tf.int32)
