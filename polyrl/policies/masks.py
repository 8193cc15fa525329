"""Which actions are legal, and the logarithms of probabilities among those."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def check_legal(mask: Any, num_actions: int) -> tf.Tensor:
    """A mask (nonzero is legal) as bool `[B, A]`.

    Raises:
        ValueError: for another shape.
        tf.errors.InvalidArgumentError: for a row without any legal action; XLA does not look.
    """
    legal = tf.cast(mask, tf.bool)
    if not legal.shape.is_compatible_with([None, num_actions]):
        raise ValueError(f"The mask has shape {legal.shape}; action_spec asks for [B, {num_actions}].")
    check = tf.debugging.assert_equal(
        tf.reduce_any(legal, axis=1), True, message="The mask leaves a row without any legal action."
    )
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(legal)


def tempered(values: tf.Tensor, legal: tf.Tensor | None, temperature: Any) -> tf.Tensor:
    """Logits `[B, A]` of `softmax(values / temperature)` among the legal actions; minus infinity for the others.

    At temperature 0, or one that float32 cannot divide by, all is on the best action, the first one of equals.

    Args:
        values: float32 `[B, A]`.
        legal: bool `[B, A]`; None if all are.
        temperature: at least 0; a number, or float32 `[]`.
    """
    nothing = tf.fill(tf.shape(values), float("-inf"))
    if legal is None:
        legal = tf.ones_like(values, tf.bool)
    # A legal action is above the others even if its own value is minus infinity.
    rank = tf.where(legal, tf.maximum(values, values.dtype.min), nothing)
    temperature = tf.cast(temperature, tf.float32)
    divides = temperature >= _SMALLEST
    # The best value becomes 0 first, so that a small temperature cannot overflow.
    best = tf.reduce_max(rank, axis=1, keepdims=True)
    soft = tf.where(legal, (rank - best) / tf.where(divides, temperature, 1.0), nothing)
    first = tf.one_hot(tf.argmax(rank, axis=1), tf.shape(values)[1], on_value=True, off_value=False)
    return tf.where(divides, soft, tf.where(first, tf.zeros_like(values), nothing))


_SMALLEST = 1.2e-38
"""The least that float32 can divide by."""
