"""Numbers that may be tensors: seeds, and shares and temperatures that change from call to call."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, TypeAlias

import tensorflow as tf

from polyrl.validation import check_float

Number: TypeAlias = float | tf.Tensor | tf.Variable | Callable[[], Any]
"""A number; a scalar tensor or variable; or a function that gives one of them, asked at each call."""


def stateless_seed(seed: Any) -> tf.Tensor:
    """An int of any size, an integer tensor `[]` or `[2]`, as an int32 tensor `[2]`; for None one that nothing repeats.

    Raises:
        TypeError: if it is not of integers.
        ValueError: for another shape.
    """
    if seed is None:
        return tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
    if isinstance(seed, numbers.Integral) and not isinstance(seed, bool):
        number = int(seed)
        return tf.constant([number & _LOW_BITS, number >> 31 & _LOW_BITS])
    pair = tf.convert_to_tensor(seed)
    if not pair.dtype.is_integer:
        raise TypeError(f"seed={seed!r} must be an integer, or an integer tensor [2].")
    if pair.shape == ():
        number = tf.cast(pair, tf.int64)
        pair = tf.bitwise.bitwise_and(tf.stack([number, tf.bitwise.right_shift(number, 31)]), tf.constant(_LOW_BITS, tf.int64))
    if not pair.shape.is_compatible_with([2]):
        raise ValueError(f"seed has shape {pair.shape}; asked for is () or (2,).")
    return tf.cast(pair, tf.int32)


def number_or_check(name: str, value: Number, minimum: float, maximum: float) -> Number:
    """At construction: a float within bounds, or what will be asked at each call, `present`."""
    return value if callable(value) or tf.is_tensor(value) else check_float(name, value, minimum, maximum)


def present(name: str, value: Number, minimum: float, maximum: float) -> tf.Tensor:
    """What a number is now, float32 `[]`.

    Raises:
        ValueError: if it is known now and out of bounds.
        tf.errors.InvalidArgumentError: if a graph finds it out of bounds; XLA does not look.
    """
    value = value() if callable(value) and not tf.is_tensor(value) else value
    if not tf.is_tensor(value):
        return tf.constant(check_float(name, value, minimum, maximum), tf.float32)
    tensor = tf.cast(tf.convert_to_tensor(value), tf.float32)
    if tensor.shape.rank not in (0, None):
        raise ValueError(f"{name} has shape {tensor.shape}; asked for is a scalar.")
    known = tf.get_static_value(tensor)
    if known is not None:
        check_float(name, known.item(), minimum, maximum)
        return tensor
    message = f"{name} must lie in [{minimum}, {maximum}]."
    inside = tf.logical_and(tensor >= minimum, tensor <= maximum)
    with tf.control_dependencies([tf.debugging.Assert(inside, [message, tensor])]):
        return tf.identity(tensor)


_LOW_BITS = 0x7FFFFFFF
