"""Checks of what a memory is given directly. In the loop it is given tensors of a compiled call, whose numbers are checked
where they enter it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.ops.inputs import as_numbers, on_tensors
from polyrl.validation import check_rows

FLAGS = ("done", "truncated")


@on_tensors
def checked_seed(seed: tf.Tensor) -> tf.Tensor:
    """The seed as an int tensor `[2]`; a TypeError or ValueError for something else."""
    return seed


def check_specs(specs: Any) -> None:
    """A TypeError or ValueError unless they describe each column of a transition by a `tf.TensorSpec` of a known shape."""
    if not isinstance(specs, Mapping):
        raise TypeError(f"specs={specs!r} must be a dict from the columns' names to tf.TensorSpec.")
    for name, spec in specs.items():
        if not (hasattr(spec, "shape") and isinstance(getattr(spec, "dtype", None), tf.DType)):
            raise TypeError(f"specs[{name!r}]={spec!r} must be a tf.TensorSpec, as tf.TensorSpec([4], tf.float32).")
        if not tf.TensorShape(spec.shape).is_fully_defined():
            raise ValueError(f"specs[{name!r}] has the shape {spec.shape}; each of its sizes must be known.")


def checked_transitions(rows: Any, specs: Mapping[str, tf.TensorSpec]) -> dict[str, tf.Tensor]:
    """Rows `[N, ...]` as tensors of the columns' dtypes.

    Floats become float32, and integers and bools whatever the column is; a float never becomes an integer. Eagerly their
    numbers are checked, too.

    Raises:
        TypeError: for what is not an array of numbers, or for floats in a column of integers or bools.
        ValueError: for other columns or shapes, and eagerly for numbers that no transition has.
    """
    if not isinstance(rows, Mapping):
        raise TypeError(f"rows={rows!r} must be a dict with the columns {sorted(specs)}.")
    if {*rows, "truncated"} != {*specs, "truncated"}:
        raise ValueError(f"rows have the columns {sorted(rows)}; the memory was built for {sorted(specs)}.")
    flag = tf.TensorSpec([], tf.float32)
    columns = {name: _column(f"rows[{name!r}]", value, specs.get(name, flag)) for name, value in rows.items()}
    counts = {name: column.shape[0] for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"rows must have as many rows in each column; they have {counts}.")
    if tf.executing_eagerly():
        _check_numbers({name: column.numpy() for name, column in columns.items()})
    return columns


def checked_index(index: Any, capacity: int) -> tf.Tensor:
    """Positions `[B]` in a memory, int32; a TypeError or ValueError for something else."""
    index = _column("index", index, tf.TensorSpec([], tf.int32))
    if tf.executing_eagerly():
        known = index.numpy()
        check_rows("index", known, (known < 0) | (known >= capacity), f"positions in the memory, from 0 to {capacity - 1}")
    return index


def _column(name: str, value: Any, spec: tf.TensorSpec) -> tf.Tensor:
    tensor = as_numbers(name, value)
    if not tensor.shape[1:].is_compatible_with(spec.shape) or tensor.shape.rank == 0:
        shown = ", ".join(["N", *map(str, spec.shape)])
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected [{shown}].")
    if tensor.dtype == spec.dtype:
        return tensor
    if tensor.dtype.is_floating and not spec.dtype.is_floating:
        raise TypeError(f"{name}: expected {spec.dtype.name}, got {tensor.dtype.name}, which would be rounded.")
    if tf.executing_eagerly() and spec.dtype.is_integer and tensor.dtype.is_integer:
        known = tensor.numpy()
        check_rows(name, known, known.astype(spec.dtype.as_numpy_dtype) != known, f"integers of {spec.dtype.name}")
    return tf.cast(tensor, spec.dtype)


def _check_numbers(values: Mapping[str, np.ndarray]) -> None:
    for name in FLAGS:
        if name in values:
            check_rows(f"rows[{name!r}]", values[name], (values[name] != 0) & (values[name] != 1), "0 or 1")
    terminated = values.get("done", np.zeros(1)) != 0
    for name, column in values.items():
        if column.dtype.kind != "f" or name in FLAGS:
            continue
        wrong = ~np.isfinite(column).reshape([len(column), -1]).all(axis=1)
        # A terminal state may be anything: nothing bootstraps from it.
        check_rows(f"rows[{name!r}]", column, wrong & ~terminated if name.startswith("next_") else wrong, "finite numbers")
    action = values.get("action")
    if action is not None and action.dtype.kind == "i":
        check_rows("rows['action']", action, action < 0, "actions, counted from 0")


def main_memory() -> float:
    """GB of main memory that the computer has; infinity if the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (AttributeError, OSError, ValueError):
        return math.inf
