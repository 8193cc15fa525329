"""The quantile Huber loss as a loop over the target's samples.

With it QR-DQN of 50 quantiles trains as fast as C51 of 51 atoms, with the plain formula at six tenths of that speed.

The plain formula, in `polyrl.ops`, has tensors `[B, N, M]` in memory, and so has its gradient. The loop sums up the loss and
its slope, which is all that a gradient needs. Without XLA a loop is slow, so that with `jit="off"` it is not called.
"""

from __future__ import annotations

import tensorflow as tf

BLOCK = 4
"""Samples that a round of the loop takes: so many need the sums so far from memory only once."""


def quantile_huber_loss(target: tf.Tensor, quantiles: tf.Tensor, fractions: tf.Tensor, kappa: float = 1.0) -> tf.Tensor:
    """The same as `polyrl.ops.quantile_huber_loss`: `[B, M]`, `[B, N]` and `[B, N]` to `[B]`; only `quantiles` has a gradient.

    It can be differentiated once.
    """
    known, samples = tf.stop_gradient(quantiles), tf.stop_gradient(tf.transpose(target))  # [B, N], [M, B]
    count, fractions = int(samples.shape[0]), tf.stop_gradient(fractions)

    def add(j: tf.Tensor | int, loss: tf.Tensor, slope: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        error = samples[j][:, tf.newaxis] - known  # [B, N]
        # Huber's loss is c (error - c / 2), and its derivative c, where c is the error clipped to plus and minus kappa.
        clipped = tf.clip_by_value(error, -kappa, kappa) if kappa > 0.0 else tf.sign(error)
        weighted = tf.where(error < 0.0, 1.0 - fractions, fractions) * clipped
        return loss + weighted * (error - 0.5 * clipped if kappa > 0.0 else error), slope + weighted

    def block(number: tf.Tensor, loss: tf.Tensor, slope: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        for index in range(BLOCK):
            loss, slope = add(BLOCK * number + index, loss, slope)
        return number + 1, loss, slope

    start, blocks = (tf.constant(0), tf.zeros_like(known), tf.zeros_like(known)), count // BLOCK
    _, loss, slope = tf.while_loop(lambda number, *_: number < blocks, block, start, maximum_iterations=blocks)
    for j in range(blocks * BLOCK, count):
        loss, slope = add(j, loss, slope)
    scale = (kappa if kappa > 0.0 else 1.0) * count
    # Adds nothing but the gradient. Not a `tf.custom_gradient`, see `narrow_dense.py`.
    return (tf.reduce_sum(loss, axis=1) - tf.reduce_sum(slope * (quantiles - known), axis=1)) / scale
