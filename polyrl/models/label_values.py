"""Checks of the values of labels, where a model is called eagerly.

In the loop labels come from the memory, and are checked where they enter it. In a graph values are not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.policies import BoundedTensorSpec
from polyrl.validation import check_rows


def check_values(labels: Mapping[str, tf.Tensor], mask: tf.Tensor | None, action: BoundedTensorSpec) -> None:
    """Refuses values that no transition has; does nothing in a graph.

    Args:
        labels: as tensors, of the right shapes.
        mask: the legal actions, bool `[B, A]`, or None.
        action: the spec of one action.

    Raises:
        ValueError: names the label, the rows and what is expected.
    """
    if not tf.executing_eagerly():
        return
    values = {key: value.numpy() for key, value in labels.items()}
    _check_action(values["action"], action)
    reward = values["reward"]
    infinite = np.logical_not(_finite(reward))
    _refuse("reward", reward, np.logical_and(infinite, _counts(values)), "finite numbers")
    for key in ("done", "truncated", "expert"):
        if key in values:
            _refuse(key, values[key], (values[key] != 0) & (values[key] != 1), "0 or 1")
    check_finite("labels['next_state']", labels["next_state"], _bootstraps(values))
    if "index" in values:
        _refuse("index", values["index"], values["index"] < 0, "positions in a memory, integers of at least 0")
    if "discount" in values:
        discount = values["discount"]
        _refuse("discount", discount, ~((discount >= 0) & (discount <= 1)), "numbers in [0, 1]")
    if "weights" in values:
        weights = values["weights"]
        _refuse("weights", weights, ~((weights >= 0) & _finite(weights)), "finite numbers of at least 0")
    if mask is not None and "expert" in values and not action.shape:
        illegal = ~np.take_along_axis(mask.numpy(), values["action"][:, np.newaxis].astype(np.int64), axis=1)[:, 0]
        wanted = "demonstrated actions that features['action_mask'] allows"
        _refuse("action", values["action"], illegal & (values["expert"] == 1), wanted)


def is_index(state: tf.Tensor, num_states: tuple[int, ...]) -> bool:
    """Whether states `[B, ...]` are discrete ones, given by their index."""
    return len(num_states) == 1 and state.shape.rank == 1 and state.dtype.is_integer


def check_index(name: str, state: tf.Tensor, num_states: tuple[int, ...]) -> None:
    """Refuses discrete states that do not exist, eagerly.

    Raises:
        ValueError: names the rows.
    """
    if tf.executing_eagerly() and is_index(state, num_states):
        index, count = state.numpy(), num_states[0]
        check_rows(name, index, (index < 0) | (index >= count), f"indices from 0 to {count - 1}, by num_states")


def _check_action(values: np.ndarray, action: BoundedTensorSpec) -> None:
    if action.dtype.is_integer:
        wrong = (values < action.minimum) | (values > action.maximum)
        _refuse("action", values, wrong, f"integers from {action.minimum} to {action.maximum}")
        return
    low, high = (np.asarray(bound, np.float64) for bound in (action.minimum, action.maximum))
    slack = 1e-4 * (high - low)  # Of rounding.
    wrong = ~((values >= low - slack) & (values <= high + slack))
    _refuse("action", values, wrong.any(axis=1), f"numbers within [{action.minimum}, {action.maximum}]")


def _finite(values: np.ndarray) -> np.ndarray:
    """Which numbers are finite in float32, in which losses are computed."""
    with np.errstate(over="ignore"):
        return np.isfinite(values.astype(np.float32))


def _counts(values: Mapping[str, np.ndarray]) -> Any:
    """Which rewards count: in a window those up to the end of the episode."""
    if values["reward"].ndim == 1:
        return np.ones_like(values["reward"], np.bool_)
    ended = (values["done"] != 0) | (values.get("truncated", 0.0) != 0)
    return np.asarray(np.cumsum(ended, axis=1) - ended == 0)


def _bootstraps(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Of which rows the next state counts, bool `[B]`: those that did not terminate."""
    terminated = np.logical_and(values["done"] != 0, _counts(values))
    return ~(terminated if terminated.ndim == 1 else terminated.any(axis=1)) & (values.get("discount", 1.0) != 0)


def check_finite(name: str, value: tf.Tensor, needed: np.ndarray | None = None) -> None:
    """Refuses NaN and infinity in values `[B, ...]`, eagerly.

    Args:
        name: of the values, for the message.
        value: a tensor.
        needed: bool `[B]`, the rows that count; None: all.

    Raises:
        ValueError: names the rows.
    """
    if tf.executing_eagerly() and value.dtype.is_floating and value.shape.rank and value.shape.num_elements():
        wrong = ~np.isfinite(value.numpy()).reshape([value.shape[0], -1]).all(axis=1)
        check_rows(name, value.numpy(), wrong if needed is None else wrong & needed, "finite numbers")


def _refuse(key: str, values: np.ndarray, wrong: Any, wanted: str) -> None:
    check_rows(f"labels[{key!r}]", values, wrong, wanted)
