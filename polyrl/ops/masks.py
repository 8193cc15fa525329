"""Masks of legal actions."""

from __future__ import annotations

import tensorflow as tf

from polyrl.ops.inputs import on_tensors
from polyrl.ops.shapes import check_shapes


@on_tensors
def mask_values(values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Replaces the values of illegal actions by the lowest number of their dtype, so that a maximum never selects one.

    That number is finite, so a discount of zero makes it vanish, as it must in a terminal state without legal actions.

    Args:
        values: `[B, A]`.
        mask: the legal actions, bool `[B, A]`; None: all are legal, and `values` is returned unchanged.
    """
    if mask is None:
        return values
    check_shapes(values=(values, "BA"), mask=(mask, "BA"))
    return tf.where(mask, values, tf.fill(tf.shape(values), values.dtype.min))


@on_tensors
def nth_legal(mask: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """The `number`-th legal action of each row, counted from 0, int32 `[B]`.

    Args:
        mask: the legal actions, bool `[B, A]`.
        number: int32 `[B]`, at least 0 and below the number of legal actions.
    """
    check_shapes(mask=(mask, "BA"), number=(number, "B"))
    counted = tf.cumsum(tf.cast(mask, tf.int32), axis=1)  # [B, A], number of legal actions up to and including this one
    return tf.reduce_sum(tf.cast(counted <= number[:, tf.newaxis], tf.int32), axis=1)
