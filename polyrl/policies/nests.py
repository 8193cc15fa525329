"""Compares nests of tensors (dicts, named tuples, tuples, lists) with their specs, leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from polyrl.validation import check_sequence


def leaves(nest: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yields each leaf of a nest with its path, an expression that starts with `path`, in the order of `tf.nest.flatten`."""
    children = _children(nest)
    if children is None:
        yield path, nest
        return
    for step, child in children.items():
        yield from leaves(child, path + step)


def is_empty(nest: Any) -> bool:
    """Whether a nest has no leaves, like `()`."""
    return not tf.nest.flatten(nest)


def check_spec(name: str, spec: Any) -> Any:
    """Checks a nest of specs and returns it in plain containers: `tf.Module` wraps those among its attributes.

    Raises:
        TypeError: names a leaf that is not a spec.
    """
    for path, leaf in leaves(spec, name):
        if not (isinstance(getattr(leaf, "dtype", None), tf.DType) and hasattr(leaf, "shape")) or tf.is_tensor(leaf):
            raise TypeError(f"{path}={leaf!r} must be a TensorSpec.")
    return _plain(spec)


def to_tensors(name: str, nest: Any) -> Any:
    """Converts each leaf of a nest to a tensor; tensors are returned as they are.

    Raises:
        TypeError: names a leaf that cannot be converted.
    """
    tensors = [_tensor(path, leaf) for path, leaf in leaves(nest, name)]
    try:
        return tf.nest.pack_sequence_as(nest, tensors)
    except Exception as error:  # TensorFlow takes any sequence for a nest, and has keys in an order.
        raise TypeError(f"{name}={nest!r} must be a nest of tuples, lists and dicts, with keys of one type.") from error


def check_nest(name: str, nest: Any, spec: Any) -> None:
    """Checks the structure, and dtype and shape `[B, *spec.shape]` of each leaf, with the same `B` in all.

    Raises:
        ValueError: lists every leaf that is missing, unexpected or different, and how it differs.
    """
    problems = list(_differences(name, nest, spec))
    if not problems:
        rows = [(path, leaf.shape[0]) for path, leaf in leaves(nest, name) if leaf.shape[0] is not None]
        problems = [f"{path} has {size} rows, but {rows[0][0]} has {rows[0][1]}" for path, size in rows if size != rows[0][1]]
    if problems:
        raise ValueError(f"{name} does not match its spec: {'; '.join(problems)}.")


def zeros(spec: Any, batch_size: Any = None) -> Any:
    """Zeros for each spec of a nest, with a leading dimension `batch_size` unless that is None."""
    outer = [] if batch_size is None else [batch_size]
    return tf.nest.map_structure(lambda leaf: tf.zeros([*outer, *leaf.shape], leaf.dtype), spec)


def _differences(path: str, nest: Any, spec: Any) -> Iterator[str]:
    found, wanted = _children(nest), _children(spec)
    if _kind(nest) != _kind(spec):
        yield f"{path} is {_described(nest)}, expected {_described(spec, batched=False)}"
    elif found is None or wanted is None:
        if nest.dtype != spec.dtype:
            yield f"{path} has dtype {nest.dtype.name}, expected {spec.dtype.name}"
        if not nest.shape.is_compatible_with(tf.TensorShape([None]).concatenate(spec.shape)):
            yield f"{path} has shape {nest.shape}, expected {_described(spec, batched=False)}"
    else:
        for step in [*wanted, *(step for step in found if step not in wanted)]:
            if step not in found:
                missing = list(leaves(wanted[step], path + step)) or [(path + step, wanted[step])]
                yield from (f"{at} is missing, expected {_described(leaf, batched=False)}" for at, leaf in missing)
            elif step not in wanted:
                extra = list(leaves(found[step], path + step)) or [(path + step, found[step])]
                yield from (f"{at} is not in the spec" for at, _ in extra)
            else:
                yield from _differences(path + step, found[step], wanted[step])


def _children(nest: Any) -> dict[str, Any] | None:
    """A container's parts by their place in it, `['key']`, `.field` or `[index]`; None for a leaf."""
    if isinstance(nest, Mapping):
        return {f"[{key!r}]": nest[key] for key in _sorted(nest)}
    if hasattr(nest, "_fields"):
        return {f".{name}": value for name, value in zip(nest._fields, nest, strict=True)}
    if isinstance(nest, list | tuple):
        return {f"[{index}]": value for index, value in enumerate(nest)}
    return None


def _sorted(nest: Mapping[Any, Any]) -> list[Any]:
    """The keys in the order of `tf.nest`, which refuses those of several types."""
    try:
        return sorted(nest)
    except TypeError:
        return sorted(nest, key=str)


def _kind(nest: Any) -> str:
    """The kind of a container, in words; two of the same kind differ in their parts only."""
    if isinstance(nest, Mapping):
        return "a dict"
    if hasattr(nest, "_fields"):
        return f"a {nest.__class__.__name__}"
    if isinstance(nest, list | tuple):
        return "a list" if isinstance(nest, list) else "a tuple"
    return "a tensor"


def _described(nest: Any, batched: bool = True) -> str:
    if _children(nest) is not None:
        return _kind(nest) if _children(nest) else f"an empty {_kind(nest)[2:]}"
    sizes = [str(size) for size in nest.shape] if nest.shape.rank is not None else ["..."]
    return f"{nest.dtype.name} [{', '.join(sizes if batched else ['B', *sizes])}]"


def _plain(nest: Any) -> Any:
    children = _children(nest)
    if children is None:
        return nest
    values = [_plain(child) for child in children.values()]
    if isinstance(nest, Mapping):
        return dict(zip(sorted(nest), values, strict=True))
    if hasattr(nest, "_fields"):
        return nest.__class__._make(values)
    return values if isinstance(nest, list) else tuple(values)


def _tensor(path: str, leaf: Any) -> tf.Tensor:
    if tf.is_tensor(leaf):
        return leaf
    try:
        return tf.convert_to_tensor(check_sequence(leaf))
    except Exception as error:  # Whatever a value's own `__array__` raises.
        raise TypeError(f"{path}={leaf!r} must be a tensor, or convertible to one.") from error
