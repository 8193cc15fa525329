"""Nests of tensors against their specs: what differs, leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf


def leaves(nest: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each leaf of a nest (dicts, named tuples, tuples, lists) with the expression that leads to it from `path`."""
    if isinstance(nest, Mapping):
        for key in sorted(nest):
            yield from leaves(nest[key], f"{path}[{key!r}]")
    elif hasattr(nest, "_fields"):
        for name, value in zip(nest._fields, nest, strict=True):
            yield from leaves(value, f"{path}.{name}")
    elif isinstance(nest, list | tuple):
        for index, value in enumerate(nest):
            yield from leaves(value, f"{path}[{index}]")
    else:
        yield path, nest


def to_tensors(nest: Any) -> Any:
    """A nest with a tensor for each leaf; tensors stay the ones they are."""
    return tf.nest.map_structure(lambda leaf: leaf if tf.is_tensor(leaf) else tf.convert_to_tensor(leaf), nest)


def check_nest(name: str, nest: Any, spec: Any) -> None:
    """Checks structure, dtype and shape `[B, *spec.shape]` of each leaf, with the same `B` in all.

    Raises:
        ValueError: lists every leaf that is missing, too many, or differs, and how.
    """
    found, wanted = dict(leaves(nest, name)), dict(leaves(spec, name))
    problems = [f"{path} is missing: {_of(wanted[path])}" for path in wanted if path not in found]
    problems += [f"{path} is not in the spec" for path in found if path not in wanted]
    batch: tuple[int, str] | None = None
    for path, leaf_spec in wanted.items():
        if path not in found:
            continue
        leaf = found[path]
        if leaf.dtype != leaf_spec.dtype:
            problems.append(f"{path} has dtype {leaf.dtype.name}; the spec says {leaf_spec.dtype.name}")
        if not leaf.shape.is_compatible_with(tf.TensorShape([None]).concatenate(leaf_spec.shape)):
            problems.append(f"{path} has shape {tuple(leaf.shape)}; the spec says {_of(leaf_spec)}")
        elif leaf.shape[0] is not None:
            batch = batch or (leaf.shape[0], path)
            if leaf.shape[0] != batch[0]:
                problems.append(f"{path} has {leaf.shape[0]} rows; {batch[1]} has {batch[0]}")
    if problems:
        raise ValueError(f"{name} does not match its spec: {'; '.join(problems)}.")


def zeros(spec: Any, batch_size: Any = None) -> Any:
    """Zeros by a nest of specs, with a first dimension of `batch_size` unless that is None."""
    outer = [] if batch_size is None else [batch_size]
    return tf.nest.map_structure(lambda leaf: tf.zeros([*outer, *leaf.shape], leaf.dtype), spec)


def _of(spec: Any) -> str:
    return f"{spec.dtype.name} [B{''.join(f', {size}' for size in spec.shape)}]"
