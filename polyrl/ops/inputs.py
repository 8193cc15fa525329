"""Inputs of the ops: NumPy arrays and lists become tensors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import tensorflow as tf

F = TypeVar("F", bound=Callable[..., Any])

WHOLE = ("action", "number", "seed", "terminated", "truncated")
"""Arguments that may be integers or bools; all others are real numbers, and `mask` is bool."""


def on_tensors(function: F) -> F:
    """Decorates an op: what it annotates as a tensor may be given as an array, a list or a number.

    Real numbers then have the dtype of the tensors among them, float32 without any. Tensors stay as they are.

    Raises:
        TypeError: for what is not an array of numbers; it names the argument.
    """
    signature = inspect.signature(function)
    kinds = {name: str(parameter.annotation) for name, parameter in signature.parameters.items()}
    names = [name for name, kind in kinds.items() if kind.startswith("tf.Tensor")]
    several = [name for name, kind in kinds.items() if kind == "Sequence[tf.Tensor]"]

    @functools.wraps(function)
    def converted(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        dtype = next((x.dtype for x in given.values() if _is_symbol(x) and x.dtype.is_floating), tf.float32)
        for name in names:
            if name in given and not (given[name] is None and kinds[name].endswith("None")):
                given[name] = _tensor(name, given[name], dtype)
        for name in several:
            if name in given:
                given[name] = [_tensor(f"{name}[{index}]", x, None) for index, x in enumerate(given[name])]
        return function(**given)

    return cast(F, converted)


def _is_symbol(value: Any) -> bool:
    """Whether it is a tensor, a variable, or stands for one, as tf-keras's symbolic inputs do."""
    return isinstance(getattr(value, "dtype", None), tf.DType)


def _tensor(name: str, value: Any, dtype: tf.DType | None) -> tf.Tensor:
    if _is_symbol(value):
        return value
    try:
        tensor = tf.convert_to_tensor(value)
        if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
            raise TypeError(f"it has dtype {tensor.dtype.name}")
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}={value!r} must be a tensor or an array of numbers: {error}") from error
    if name == "mask":
        return tf.cast(tensor, tf.bool)
    return tensor if dtype is None or (name in WHOLE and not tensor.dtype.is_floating) else tf.cast(tensor, dtype)
