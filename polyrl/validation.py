"""Argument checks for constructors: each error names the argument, its value and what is allowed."""

from __future__ import annotations

import difflib
import itertools
import math
import numbers
from collections.abc import Sequence
from typing import Any


def check_int(name: str, value: Any, minimum: int) -> int:
    """Returns `value` as an int of at least `minimum`; a TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}={value!r} must be an integer.")
    if value < minimum:
        raise ValueError(f"{name}={value} must be at least {minimum}.")
    return int(value)


def check_float(name: str, value: Any, minimum: float = -math.inf, maximum: float = math.inf) -> float:
    """Returns `value` as a finite float within `[minimum, maximum]`; a TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r} must be a number.")
    number = float(value)
    if not math.isfinite(number) or not minimum <= number <= maximum:
        raise ValueError(f"{name}={value} must lie in [{minimum}, {maximum}] and be finite.")
    return number


def check_bool(name: str, value: Any) -> bool:
    """Returns `value`, which must be True or False; a TypeError otherwise."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r} must be True or False.")
    return value


def check_increasing(name: str, values: Sequence[Any]) -> None:
    """Checks that `values` are integers, each larger than the one before; a TypeError or ValueError otherwise."""
    for value in values:
        check_int(name, value, minimum=0)
    if any(later <= earlier for earlier, later in itertools.pairwise(values)):
        raise ValueError(f"{name}={tuple(values)} must be strictly increasing.")


KERAS3_REMEDY = (
    "`tf.keras` is Keras 3 here; polyrl works with tf-keras: write `import tf_keras as keras` and make the layers with it, or "
    "set the environment variable TF_USE_LEGACY_KERAS=1 before TensorFlow is imported, which makes `tf.keras` that."
)
"""What to do about an object of Keras 3."""


def is_keras3(value: Any) -> bool:
    """Whether a value is of a class of Keras 3, the package `keras`, or of a subclass; tf-keras is the package `tf_keras`."""
    return any(base.__module__.partition(".")[0] == "keras" for base in type(value).__mro__)


def suggestion(wrong: str, known: Any) -> str:
    """` Did you mean ...?` with the most similar name in `known`, or an empty string."""
    near = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
