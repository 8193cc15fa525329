"""Masks of legal actions."""

from __future__ import annotations

import tensorflow as tf

from polyrl.ops.shapes import check_shapes


def mask_values(values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """The values of legal actions, and the lowest number of their dtype for the others, so that no maximum picks one.

    It is finite: a discount of zero makes it vanish, as it must where a terminal state leaves no legal action.

    Args:
        values: `[B, A]`.
        mask: the legal actions, bool `[B, A]`; None: all of them, which gives `values` back.
    """
    if mask is None:
        return values
    check_shapes(values=(values, "BA"), mask=(mask, "BA"))
    return tf.where(mask, values, tf.fill(tf.shape(values), values.dtype.min))


def nth_legal(mask: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """The legal action with so many legal ones before it, int32 `[B]`.

    Args:
        mask: the legal actions, bool `[B, A]`.
        number: int32 `[B]`, from 0 and below the number of legal ones.
    """
    check_shapes(mask=(mask, "BA"), number=(number, "B"))
    counted = tf.cumsum(tf.cast(mask, tf.int32), axis=1)  # [B, A], how many are legal up to and with this one
    return tf.reduce_sum(tf.cast(counted <= number[:, tf.newaxis], tf.int32), axis=1)
