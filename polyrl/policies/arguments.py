"""Arguments that may be tensors: seeds, and probabilities and temperatures that change between calls."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from polyrl.validation import check_float, check_sequence

Number: TypeAlias = float | tf.Tensor | tf.Variable | Callable[[], Any]
"""A number; a scalar tensor or variable; or a function without arguments that returns one of these, called at each use."""


def stateless_seed(seed: Any) -> tf.Tensor:
    """Converts a seed to the int32 tensor `[2]` that stateless random ops take.

    Args:
        seed: an int of any size, an integer tensor `[]` or `[2]`, or None for a new random seed at each call.

    Raises:
        TypeError: if the seed is not made of integers.
        ValueError: if it has another shape.
    """
    if seed is None:
        return tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
    if isinstance(seed, numbers.Integral) and not isinstance(seed, (bool, np.timedelta64)):
        number = int(seed)
        return tf.constant([number & _LOW_BITS, number >> 31 & _LOW_BITS])
    try:
        pair = tf.convert_to_tensor(check_sequence(seed))
    except Exception as error:  # Whatever a value's own `__array__` raises.
        raise TypeError(f"seed={seed!r} must be an integer, or an integer tensor of shape () or (2,).") from error
    if not pair.dtype.is_integer:
        raise TypeError(f"seed={seed!r} must be an integer, or an integer tensor of shape () or (2,).")
    if pair.shape == ():
        number = tf.cast(pair, tf.int64)
        pair = tf.bitwise.bitwise_and(tf.stack([number, tf.bitwise.right_shift(number, 31)]), tf.constant(_LOW_BITS, tf.int64))
    if not pair.shape.is_compatible_with([2]):
        raise ValueError(f"seed has shape {pair.shape}, expected () or (2,).")
    return tf.cast(pair, tf.int32)


def check_number(name: str, value: Number, minimum: float, maximum: float) -> Number:
    """Checks a number at construction; a tensor, a variable or a function is checked at each call, by `current_value`."""
    return value if callable(value) or tf.is_tensor(value) else check_float(name, value, minimum, maximum)


def current_value(name: str, value: Number, minimum: float, maximum: float) -> tf.Tensor:
    """The number's value at this call, float32 `[]`.

    Raises:
        ValueError: if the value is out of bounds and known while tracing (always so in eager mode).
        tf.errors.InvalidArgumentError: if a graph computes a value out of bounds; XLA skips this check.
    """
    value = value() if callable(value) and not tf.is_tensor(value) else value
    if not tf.is_tensor(value):
        return tf.constant(check_float(name, value, minimum, maximum), tf.float32)
    tensor = tf.cast(tf.convert_to_tensor(value), tf.float32)
    if tensor.shape.rank not in (0, None):
        raise ValueError(f"{name} has shape {tensor.shape}, expected a scalar.")
    known = tf.get_static_value(tensor)
    if known is not None:
        check_float(name, known.item(), minimum, maximum)
        return tensor
    message = f"{name} must lie in [{minimum}, {maximum}]."
    inside = tf.logical_and(tensor >= minimum, tensor <= maximum)
    with tf.control_dependencies([tf.debugging.Assert(inside, [message, tensor])]):
        return tf.identity(tensor)


_LOW_BITS = 0x7FFFFFFF


def refuse_rows(message: str, rows: tf.Tensor, end: str = ".") -> None:
    """Eagerly, an InvalidArgumentError if there are any rows `[K]`: on one line, as TensorFlow's own assertions are not."""
    if rows.shape[0]:
        raise tf.errors.InvalidArgumentError(None, None, f"{message} {rows.numpy()[:10].tolist()}{end}")
