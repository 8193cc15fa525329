"""Inputs of the ops: NumPy arrays and lists become tensors."""

from __future__ import annotations

import dis
import functools
import inspect
import math
import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import tensorflow as tf

from polyrl.ops.numbers import check_numbers
from polyrl.validation import check_float, check_sequence

F = TypeVar("F", bound=Callable[..., Any])

WHOLE = ("action", "number", "seed", "terminated", "truncated")
"""Arguments that may be integers or bools; all others are real numbers, and `mask` is bool."""

RANGES = dict.fromkeys(("epsilon", "gamma", "trace_decay"), (0.0, 1.0)) | dict.fromkeys(
    ("temperature", "sigma", "margin", "dt", "kappa", "slope"), (0.0, math.inf)
)
"""The range of single numbers, by the argument's name; checked where their value is known."""

FUNCTIONS = {"loss_fn": " loss_fn(target, prediction), as HuberLossConfig().build()"}
"""What is said of an argument that must be a function."""


def on_tensors(function: F) -> F:
    """Decorates an op: what it annotates as a tensor may be given as an array, a list or a number.

    Real numbers then have the dtype of the tensors among them, float32 without any. Tensors stay as they are.

    Raises:
        TypeError: for what is not an array of numbers; it names the argument.
        ValueError: for a seed of another shape than `[2]`; for a number outside of `RANGES`; and eagerly for numbers that
            the op cannot mean, see `check_numbers`, and, with the shapes of all arguments, if TensorFlow cannot compute it.
    """
    signature = inspect.signature(function)
    kinds = {name: str(parameter.annotation) for name, parameter in signature.parameters.items()}
    names = [name for name, kind in kinds.items() if kind.startswith("tf.Tensor")]
    several = [name for name, kind in kinds.items() if kind == "Sequence[tf.Tensor]"]
    functions = [name for name, kind in kinds.items() if kind.startswith("Callable")]
    scalars = [name for name, kind in kinds.items() if kind == "float"]

    @functools.wraps(function)
    def converted(*args: Any, **kwargs: Any) -> Any:
        given = _bound(function.__name__, signature, args, kwargs)
        dtype = next((x.dtype for x in given.values() if _is_symbol(x) and x.dtype.is_floating), tf.float32)
        for name in names:
            if name in given and not (given[name] is None and kinds[name].endswith("None")):
                given[name] = _tensor(name, given[name], dtype)
        for name in several:
            if name in given:
                given[name] = [_tensor(f"{name}[{index}]", x, None) for index, x in enumerate(_listed(name, given[name]))]
        for name in scalars:
            if name in given and not (_is_symbol(given[name]) and given[name].shape.rank in (0, None)):
                given[name] = check_float(name, given[name].item() if _is_scalar(given[name]) else given[name])
        for name in functions:
            _check_function(name, given.get(name))
        for name in given.keys() & RANGES.keys():
            _check_range(name, given[name])
        check_numbers(given)
        try:
            return function(**given)
        except Exception as error:
            if not tf.executing_eagerly() or not _fails_below(error):
                raise
            described = ", ".join(f"{name} {_described(value)}" for name, value in given.items() if not callable(value))
            raise ValueError(f"{function.__name__} cannot be computed of {described}: {str(error)[:200]}") from error

    return cast(F, converted)


def _bound(name: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        return signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise TypeError(f"{name}: {error}.") from None


def _is_symbol(value: Any) -> bool:
    """Whether it is a tensor, a variable, or stands for one, as tf-keras's symbolic inputs do."""
    return isinstance(getattr(value, "dtype", None), tf.DType)


def as_numbers(name: str, value: Any) -> tf.Tensor:
    """A tensor of real numbers or bools, of whatever shape; bools and floats in one list become float32.

    Raises:
        TypeError: for anything else; it names the argument.
    """
    try:
        tensor = _converted(check_sequence(value))
        if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
            raise TypeError(f"it has dtype {tensor.dtype.name}")
    except Exception as error:  # Whatever a value's own `__array__` raises.
        raise TypeError(f"{name}={value!r} must be a tensor or an array of numbers: {error}") from error
    return tensor


def _converted(value: Any) -> tf.Tensor:
    try:
        return tf.convert_to_tensor(value)
    except (TypeError, ValueError):
        # TensorFlow takes a list by its first item; NumPy finds what all have in common.
        array = np.asarray(value) if isinstance(value, (list, tuple)) else np.asarray(None)
        if array.dtype.kind != "f":
            raise
        return tf.constant(array, tf.float32)


def _tensor(name: str, value: Any, dtype: tf.DType | None) -> tf.Tensor:
    if _is_symbol(value):
        if name == "seed" and not (value.dtype.is_integer and value.shape.is_compatible_with([2])):
            raise ValueError(f"seed is {_described(value)}; expected two integers.")
        return tf.cast(value, tf.bool) if name == "mask" else value
    tensor = as_numbers(name, value)
    if name == "seed" and not (tensor.dtype.is_integer and tensor.shape == [2]):
        raise ValueError(f"seed={value!r} must be two integers.")
    if name == "mask":
        return tf.cast(tensor, tf.bool)
    return tensor if dtype is None or (name in WHOLE and not tensor.dtype.is_floating) else tf.cast(tensor, dtype)


def _check_range(name: str, value: Any) -> None:
    known = tf.get_static_value(value) if _is_symbol(value) else value
    low, high = RANGES[name]
    if known is not None and np.shape(known) == () and not low <= known <= high:
        wanted = f"in [{low:g}, {high:g}]" if math.isfinite(high) else f"at least {low:g}"
        raise ValueError(f"{name}={known} must be {wanted}.")


def _check_function(name: str, value: Any) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"{name}={value!r} must be a function{FUNCTIONS.get(name, '')}.")


def _listed(name: str, value: Any) -> Any:
    """Several arrays, in a list, a tuple or an array of them."""
    if not isinstance(value, (list, tuple, np.ndarray)) and not _is_symbol(value):
        raise TypeError(f"{name}={value!r} must be a list of tensors or arrays.")
    if getattr(value, "shape", (1,)) == ():
        raise ValueError(f"{name}={value!r} must be a list of tensors or arrays, not one number.")
    return value


def _is_scalar(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "biuf"


def _fails_below(error: BaseException) -> bool:
    """Whether an error was raised in TensorFlow, or by an operation in polyrl, rather than by a `raise` with a message."""
    if isinstance(error, tf.errors.OpError):
        return True
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return False
    file = os.path.realpath(frame.tb_frame.f_code.co_filename)
    instructions = dis.get_instructions(frame.tb_frame.f_code)
    raised = any(i.offset == frame.tb_lasti and i.opname == "RAISE_VARARGS" for i in instructions)
    return file.startswith(_TENSORFLOW) or (file.startswith(_HERE) and not raised)


_HERE = os.path.dirname(os.path.realpath(__file__)) + os.sep
_TENSORFLOW = os.path.dirname(os.path.realpath(str(tf.__file__))) + os.sep


def _described(value: Any) -> str:
    """Shape and dtype of a tensor, or a list of them; of anything else the value."""
    if isinstance(value, list):
        return f"[{', '.join(map(_described, value))}]"
    return f"{value.dtype.name} {tuple(value.shape)}" if _is_symbol(value) and value.shape.rank is not None else repr(value)
