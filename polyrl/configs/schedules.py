"""The schedules of tf-keras, exact at their borders also where XLA compiles them.

XLA multiplies by the reciprocal of a constant where a formula divides by it. Where that rounds up or down, a step at a border
falls on its other side: `1 - step / decay_steps` is below zero at the end of a decay, and a power of it NaN; a staircase takes
its stair one step late; a cycle begins one too early. So periods are counted in whole numbers here, and bases clamped.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras

HORIZON = 2**40
"""Steps that no run comes to: restarts are computed up to there."""


def periods(step: Any, length: int, staircase: bool) -> tf.Tensor:
    """`step / length`, float32; rounded down with `staircase`."""
    step = tf.cast(step, tf.int64)
    whole, rest = step // length, step % length
    return tf.cast(whole, tf.float32) + (0.0 if staircase else tf.cast(rest, tf.float32) / length)


class ExponentialDecay(tf_keras.optimizers.schedules.ExponentialDecay):
    """`initial_learning_rate * decay_rate ** (step / decay_steps)`."""

    def __call__(self, step: Any) -> tf.Tensor:
        return self.initial_learning_rate * tf.pow(self.decay_rate, periods(step, self.decay_steps, self.staircase))


class InverseTimeDecay(tf_keras.optimizers.schedules.InverseTimeDecay):
    """`initial_learning_rate / (1 + decay_rate * step / decay_steps)`."""

    def __call__(self, step: Any) -> tf.Tensor:
        return self.initial_learning_rate / (1.0 + self.decay_rate * periods(step, self.decay_steps, self.staircase))


class PolynomialDecay(tf_keras.optimizers.schedules.PolynomialDecay):
    """From `initial_learning_rate` to `end_learning_rate` within `decay_steps`, or with `cycle` the next multiple of them."""

    def __call__(self, step: Any) -> tf.Tensor:
        step, length = tf.cast(step, tf.int64), tf.constant(self.decay_steps, tf.int64)
        if self.cycle:
            length *= tf.maximum(-(-step // self.decay_steps), 1)  # Rounded up.
        left = tf.cast(length - tf.minimum(step, length), tf.float32) / tf.cast(length, tf.float32)
        drop = self.initial_learning_rate - self.end_learning_rate
        return drop * tf.pow(tf.maximum(left, 0.0), self.power) + self.end_learning_rate


class CosineDecayRestarts(tf_keras.optimizers.schedules.CosineDecayRestarts):
    """Cosine decay with warm restarts; `t_mul` is at least 1."""

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str | None = None,
    ):
        super().__init__(initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha, name)
        self.first, self.longer, self.lower = first_decay_steps, t_mul, m_mul

    def __call__(self, step: Any) -> tf.Tensor:
        # Before XLA: the steps at which a period begins, and how long it is.
        lengths = [float(self.first)]
        starts = [0.0]
        while self.longer != 1.0 and starts[-1] + lengths[-1] < HORIZON and len(starts) < 10_000:
            starts.append(starts[-1] + lengths[-1])
            lengths.append(lengths[-1] * self.longer)
        step = tf.cast(step, tf.int64)
        if self.longer == 1.0:
            restarts, fraction = step // self.first, tf.cast(step % self.first, tf.float32)
            fraction /= self.first
        else:
            begun = tf.constant([math.ceil(start) for start in starts], tf.int64) <= step
            restarts = tf.reduce_sum(tf.cast(begun, tf.int64)) - 1
            elapsed = tf.cast(step, tf.float64) - tf.gather(tf.constant(starts, tf.float64), restarts)
            fraction = tf.cast(elapsed / tf.gather(tf.constant(lengths, tf.float64), restarts), tf.float32)
        height = tf.pow(self.lower, tf.cast(restarts, tf.float32))
        cosine = 0.5 * height * (1.0 + tf.cos(math.pi * tf.minimum(fraction, 1.0)))
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)
