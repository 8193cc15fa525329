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
    # A legal action is above the others even if its own value is minus infinity.
    rank = tf.maximum(values, values.dtype.min)
    if legal is not None:
        rank = tf.where(legal, rank, float("-inf"))
    if not tf.is_tensor(temperature):
        return _softened(rank, temperature) if temperature >= _SMALLEST else _best(rank)
    divides = temperature >= _SMALLEST
    return tf.where(divides, _softened(rank, tf.where(divides, temperature, 1.0)), _best(rank))


def _softened(rank: tf.Tensor, temperature: Any) -> tf.Tensor:
    # The best value becomes 0 first, so that a small temperature cannot overflow. It is finite even if nothing is legal.
    best = tf.maximum(tf.reduce_max(rank, axis=1, keepdims=True), rank.dtype.min)
    return (rank - best) / temperature


def _best(rank: tf.Tensor) -> tf.Tensor:
    return tf.one_hot(tf.argmax(rank, axis=1), tf.shape(rank)[1], on_value=0.0, off_value=float("-inf"))


_SMALLEST = 1.2e-38
"""The least that float32 can divide by."""
