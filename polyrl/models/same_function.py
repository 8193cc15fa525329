"""Whether two functions are the same: a `model_fn` is called again and again, and each call may make its `graph_fn` again."""

from __future__ import annotations

import functools
import re
import sys
import types
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np
import tf_keras

from polyrl.configs.base import Config

LIBRARIES = ("tensorflow", "tensorflow_probability", "tf_keras", "keras", "ml_collections", "numpy", "gymnasium", "polyrl")
"""Packages whose objects are not looked into."""

BY_CALLS = ("name", "build_config", "build_input_shape", "batch_input_shape")
"""What in a layer's config depends on other layers, and on whether the layer has been called."""


def function_difference(first: Any, second: Any, compared: frozenset[tuple[int, int]] = frozenset()) -> str | None:
    """Says in what two callables differ; None if they do not, as far as can be seen.

    Functions are compared by their code, their defaults and the values that they take from the functions around them, where
    these are plain (numbers, strings, lists and the like), functions, or objects with such attributes; layers and models of
    tf-keras by their config; other callables by their class and attributes. Global variables are not compared.

    Args:
        first: a callable.
        second: another one.
        compared: pairs of functions, by identity, that are being compared: a function may take itself from around it.
    """
    if first is second or (id(first), id(second)) in compared:
        return None
    compared |= {(id(first), id(second))}
    if type(first) is not type(second):
        return f"it is {_described(first)} there, {_described(second)} here"
    if isinstance(first, functools.partial):
        own, other = ({**dict(enumerate(each.args)), **each.keywords} for each in (first, second))
        return function_difference(first.func, second.func, compared) or values_difference(own, other, compared)
    if isinstance(first, types.MethodType):
        difference = function_difference(first.__func__, second.__func__, compared)
        return difference or _object_difference(first.__self__, second.__self__, compared)
    if isinstance(first, tf_keras.layers.Layer):
        return _layer_difference(first, second)
    if not isinstance(first, types.FunctionType):
        return _object_difference(first, second, compared)
    if first.__code__ != second.__code__:
        return f"it is {_described(first)} there, {_described(second)} here"
    return values_difference(_taken(first), _taken(second), compared)


def _object_difference(first: Any, second: Any, compared: frozenset[tuple[int, int]]) -> str | None:
    """In what two objects differ by their attributes."""
    if first is second or type(first) is not type(second):
        return None
    return values_difference(_attributes(first), _attributes(second), compared)


def _attributes(value: Any) -> dict[str, Any]:
    """The attributes of an object, also those that its class keeps in slots."""
    names = [name for kind in type(value).__mro__ for name in _slots(kind)]
    return {**{name: getattr(value, name) for name in names if hasattr(value, name)}, **getattr(value, "__dict__", {})}


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _layer_difference(first: tf_keras.layers.Layer, second: tf_keras.layers.Layer) -> str | None:
    try:
        own, other = (_settings(layer.get_config(), "") for layer in (first, second))
    except Exception:  # A layer of the user's own does not need to have a config.
        return None
    for place in {**own, **other}:
        if not equal(own.get(place), other.get(place)):
            return f"in its config{place} is {own.get(place)!r} there, {other.get(place)!r} here"
    return None


def _settings(config: Any, place: str) -> dict[str, Any]:
    """The values in a layer's config by where they are, but those `BY_CALLS`."""
    if isinstance(config, dict):
        items: list[tuple[Any, Any]] = [(key, value) for key, value in config.items() if key not in BY_CALLS]
    elif isinstance(config, (list, tuple)):
        layers = [value for value in config if not (isinstance(value, dict) and value.get("class_name") == "InputLayer")]
        items = list(enumerate(layers))
    else:
        # tf-keras numbers the names of layers throughout the process.
        return {place: re.sub(r"_\d+$", "", config) if isinstance(config, str) else config}
    return {inner: leaf for key, value in items for inner, leaf in _settings(value, f"{place}[{key!r}]").items()}


def _taken(function: types.FunctionType) -> dict[Any, Any]:
    """The values that a function has from elsewhere, by name: those around it, and its defaults."""
    found: dict[Any, Any] = dict(enumerate(function.__defaults__ or ()))
    found |= function.__kwdefaults__ or {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # Not assigned yet.
            continue
    return found


def values_difference(
    first: Mapping[Any, Any], second: Mapping[Any, Any], compared: frozenset[tuple[int, int]] = frozenset()
) -> str | None:
    """Says which is the first value under the same name that differs; of functions in what, see `function_difference`."""
    for name in [name for name in first if name in second]:
        one, other = _opened(first[name]), _opened(second[name])
        if callable(one) and callable(other) and not isinstance(one, type):
            difference = function_difference(one, other, compared)
            if difference is not None:
                return difference
        elif _is_plain(one) and _is_plain(other):
            if not equal(one, other):
                return f"its {name} is {one!r} there, {other!r} here"
        elif _holds_values(one) and (id(one), id(other)) not in compared:
            difference = _object_difference(one, other, compared | {(id(one), id(other))})
            if difference is not None:
                return f"in its {name}, {difference}"
    return None


def _holds_values(value: Any) -> bool:
    """Whether an object is of a class of the user's own that may hold settings: what libraries make has states in addition."""
    module = type(value).__module__.partition(".")[0]
    return module not in sys.stdlib_module_names and module not in LIBRARIES


def _opened(value: Any) -> Any:
    """Collections of named values as dicts."""
    if isinstance(value, ml_collections.ConfigDict):
        return value.to_dict()
    return vars(value) if isinstance(value, types.SimpleNamespace) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    return value is None or isinstance(value, (bool, int, float, str, bytes, np.ndarray, np.generic, type, Config))


def equal(one: Any, other: Any) -> bool:
    """Whether two plain values are of one type and equal; lists and dicts may hold arrays."""
    if one is other:  # NaN is not equal to itself.
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(equal(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(value, other[key]) for key, value in one.items())
    return bool(one == other)


def _described(function: Any) -> str:
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", type(function).__name__)
    return name if code is None else f"{name} (line {code.co_firstlineno} of {code.co_filename.rsplit('/', 1)[-1]})"
