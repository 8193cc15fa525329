"""A check of what a policy's network gives: NaN is not a choice."""

from __future__ import annotations

import tensorflow as tf

from polyrl.errors import NonFiniteError


def check_numbers(name: str, values: tf.Tensor, needed: tf.Tensor | None = None, lowest: bool = False) -> tf.Tensor:
    """Returns values `[B, ...]`, and refuses NaN and infinity in them.

    Args:
        name: of the values, for the message.
        values: float `[B, ...]`.
        needed: bool of the same shape, where a value counts; None: everywhere.
        lowest: whether minus infinity is taken in `[B, A]`, as the value of an action that is never drawn; each row needs
            a number above it.

    Raises:
        NonFiniteError: names what is wrong, and the rows; in a graph a tf.errors.InvalidArgumentError. XLA skips the check.
    """
    wrong = ~tf.math.is_finite(values)
    if lowest:
        never = values == float("-inf")
        drawn = ~never if needed is None else ~never & needed
        wrong &= ~never | ~tf.reduce_any(drawn, axis=1, keepdims=True)
    wrong = wrong if needed is None else wrong & needed
    rows = tf.where(tf.reduce_any(tf.reshape(wrong, [tf.shape(wrong)[0], -1]), axis=1))[:, 0]
    message = f"{name} are NaN or infinite in the rows"
    if tf.executing_eagerly() and rows.shape[0] > 0:
        raise NonFiniteError(f"{message} {rows[:10].numpy().tolist()}.")
    with tf.control_dependencies([tf.debugging.Assert(~tf.reduce_any(wrong), [message, rows], summarize=10)]):
        return tf.identity(values)
