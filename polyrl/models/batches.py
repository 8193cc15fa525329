"""Checks of what a Q model is called with: features, labels, shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polyrl.validation import check_int

import tensorflow as tf

LABELS = ("action", "reward", "done", "next_state")


def state_shape(num_states: int | Sequence[int]) -> tuple[int, ...]:
    """`num_states` as a shape: an int is the size of a vector."""
    sizes = list(num_states) if isinstance(num_states, Sequence) else [num_states]
    return tuple(check_int("num_states", size, minimum=1) for size in sizes)


def state_of(features: Any) -> tf.Tensor:
    """The state batch `[B, ...]` of features that are it, or that hold it."""
    return features["state"] if isinstance(features, Mapping) else features


def with_state(features: Any, state: tf.Tensor) -> Any:
    """The same features with another state."""
    return {**features, "state": state} if isinstance(features, Mapping) else state


def check_features(features: Any, shape: tuple[int, ...]) -> Any:
    """The features as tensors.

    Raises:
        KeyError: if they are a dict without `state`.
        ValueError: if the state is not `[B, *shape]`.
    """
    if isinstance(features, Mapping):
        if "state" not in features:
            raise KeyError(f"features must contain 'state'; they have {sorted(features)}.")
        features = {key: tf.convert_to_tensor(value) for key, value in features.items()}
    else:
        features = tf.convert_to_tensor(features)
    _check_state("features['state']", state_of(features), shape)
    if state_of(features).shape[:1] == [0]:
        raise ValueError("features['state'] is an empty batch; there must be at least one row.")
    return features


def check_labels(labels: Mapping[str, Any], features: Any, shape: tuple[int, ...]) -> dict[str, tf.Tensor]:
    """The labels as tensors: `action` int32, `next_state` as it is, the others float32.

    Raises:
        KeyError: for a missing one.
        ValueError: if one has not a row for each state, or `next_state` is not `[B, *shape]`.
    """
    for key in LABELS:
        if key not in labels:
            raise KeyError(f"labels must contain {key!r}; they have {sorted(labels)}.")
    rows = state_of(features).shape[:1]
    checked = {key: tf.convert_to_tensor(value) for key, value in labels.items()}
    _check_state("labels['next_state']", checked["next_state"], shape)
    for key, value in checked.items():
        if not value.shape[:1].is_compatible_with(rows) or (key != "next_state" and value.shape.rank != 1):
            raise ValueError(
                f"labels[{key!r}] has shape {tuple(value.shape)}; asked for is one value for each of the {rows[0]} states."
            )
        if key != "next_state":
            checked[key] = tf.cast(value, tf.int32 if key == "action" else tf.float32)
    return checked


def _check_state(name: str, state: tf.Tensor, shape: tuple[int, ...]) -> None:
    if state.shape.rank is not None and not state.shape[1:].is_compatible_with(shape):
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name} has shape {tuple(state.shape)}; num_states asks for [batch, {wanted}].")
