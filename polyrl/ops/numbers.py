"""Checks of the numbers that ops are given eagerly. In a graph they are not known: there the loop checks its losses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.validation import check_rows, shortened

PREFERENCES = ("q", "logits", "next_q", "next_q_selector", "next_logits", "target_q")
"""Arguments that must be numbers, or minus infinity where an action is never to be chosen: a maximum would hide NaN.

What is only added and multiplied shows it.
"""

ROUNDING = 1e-6
"""By how much a discount may be above 1."""


def check_numbers(given: Mapping[str, Any]) -> None:
    """Refuses arguments, by their names, that hold numbers which no op can mean.

    Of action values that a `mask` names illegal, any are taken.

    Raises:
        ValueError: names the argument, the first rows that are wrong, and what is expected.
    """
    values = {name: value.numpy() for name, value in given.items() if is_eager(value)}
    for name in PREFERENCES:
        if name in values and values[name].dtype.kind == "f":
            wrong = np.isnan(values[name]) | (values[name] == math.inf)
            check_rows(name, values[name], wrong & _counts(wrong, values), "numbers, or minus infinity")
    for name in ("discount", "fractions"):
        if name in values:
            numbers = values[name]
            check_rows(name, numbers, ~((numbers >= 0) & (numbers <= 1 + ROUNDING)), "numbers in [0, 1]")


def is_eager(value: Any) -> bool:
    """Whether the numbers of a tensor are known."""
    return tf.is_tensor(value) and tf.executing_eagerly() and hasattr(value, "numpy")


def check_legal_rows(mask: tf.Tensor | None) -> None:
    """Refuses a mask `[B, A]` that leaves a row without a legal action, eagerly: nothing can be drawn there."""
    if mask is not None and is_eager(mask):
        legal = mask.numpy()
        if legal.ndim == 2:  # Otherwise the operation says that it is not.
            check_rows("mask", legal, ~legal.any(axis=1), "at least one legal action in each row")


def check_preferences(name: str, values: tf.Tensor, mask: tf.Tensor | None = None) -> None:
    """Refuses rows of values `[B, A]` whose legal ones are all minus infinity, eagerly: nothing can be drawn there."""
    if is_eager(values):
        known = values.numpy()
        drawn = known > -math.inf
        if mask is not None and is_eager(mask) and mask.shape == values.shape:
            drawn = drawn & mask.numpy()
        check_rows(name, known, ~drawn.any(axis=1), "a number above minus infinity in each row")


def check_support(atoms: tf.Tensor) -> None:
    """Refuses atoms `[N]`, if they are known, that are not at least 2, increasing and evenly spaced.

    A projection onto others would not keep the mass.
    """
    if atoms.shape[0] == 1:
        raise ValueError("atoms has shape (1,); a support needs at least 2.")
    known = tf.get_static_value(atoms) if tf.is_tensor(atoms) else None
    if known is None or known.dtype.kind != "f" or known.ndim != 1 or not known.size:
        return
    steps = np.diff(known.astype(np.float64))
    rounding = 0.02 * np.mean(steps)  # A hundredth for each end of a step.
    if not (np.all(steps > 0) and np.all(np.abs(steps - np.mean(steps)) <= rounding)):
        shown = shortened(str(known.tolist()))
        raise ValueError(f"atoms={shown} must be increasing and evenly spaced, as ops.support(min, max, num_atoms).")


def _counts(wrong: np.ndarray, values: Mapping[str, np.ndarray]) -> np.ndarray | bool:
    mask = values.get("mask")
    return mask if mask is not None and mask.shape == wrong.shape else True
