"""The quantile Huber loss as a loop over the target's samples.

With it QR-DQN of 50 quantiles trains as fast as C51 of 51 atoms, with the plain formula at six tenths of that speed
(docs/performance.md).

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
    known = tf.stop_gradient(quantiles)
    loss, slope = _summed_up(tf.stop_gradient(target), known, tf.stop_gradient(fractions), tf.cast(kappa, known.dtype))
    # Adds nothing but the gradient. Not a `tf.custom_gradient`, see `narrow_dense.py`.
    return tf.ensure_shape(loss, [quantiles.shape[0]]) + tf.reduce_sum(slope * (quantiles - known), axis=1)


def _summed_up(target: tf.Tensor, quantiles: tf.Tensor, fractions: tf.Tensor, kappa: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The loss of each row `[B]`, and its derivative by each quantile `[B, N]`."""
    samples = tf.transpose(target)  # [M, B]
    count, above, huber = int(samples.shape[0]), 1.0 - fractions, kappa > 0.0

    def add(j: tf.Tensor | int, loss: tf.Tensor, slope: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        error = samples[j][:, tf.newaxis] - quantiles  # [B, N]
        # Huber's loss is c (error - c / 2), and its derivative c, where c is the error clipped to plus and minus kappa.
        clipped = tf.where(huber, tf.clip_by_value(error, -kappa, kappa), tf.sign(error))
        weighted = tf.where(error < 0.0, above, fractions) * clipped
        return loss + weighted * (error - tf.where(huber, 0.5 * clipped, 0.0)), slope + weighted

    def block(number: tf.Tensor, loss: tf.Tensor, slope: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        for index in range(BLOCK):
            loss, slope = add(BLOCK * number + index, loss, slope)
        return number + 1, loss, slope

    start, blocks = (tf.constant(0), tf.zeros_like(quantiles), tf.zeros_like(quantiles)), count // BLOCK
    _, loss, slope = tf.while_loop(lambda number, *_: number < blocks, block, start, maximum_iterations=blocks)
    for j in range(blocks * BLOCK, count):
        loss, slope = add(j, loss, slope)
    scale = tf.where(huber, kappa, 1.0) * count
    return tf.reduce_sum(loss, axis=1) / scale, -slope / scale
