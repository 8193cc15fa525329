"""Checks of what a Q model is called with: features, labels, shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polyrl import ops
from polyrl.policies import BoundedTensorSpec
from polyrl.validation import check_int

import tensorflow as tf

LABELS = ("action", "reward", "done", "next_state")
WINDOWED = ("reward", "done", "truncated")


def state_shape(num_states: int | Sequence[int]) -> tuple[int, ...]:
    """`num_states` as a shape: an int is the size of a vector, or of the range of state numbers."""
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
        ValueError: if the state is not `[B, *shape]`; or, with a shape `(n,)`, integers `[B]`: the numbers of states.
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


def check_labels(
    labels: Mapping[str, Any], features: Any, shape: tuple[int, ...], action: BoundedTensorSpec
) -> dict[str, tf.Tensor]:
    """The labels as tensors: `action` as its spec says, `next_state` as it is, the others float32.

    Windows of `n` steps have `reward`, `done`, and `truncated` if it is there, of shape `[B, n]`.

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
    window = checked["reward"].shape[1:] if is_window(checked) else tf.TensorShape([])
    for key, value in checked.items():
        asked = {"action": action.shape, **dict.fromkeys(WINDOWED, window)}.get(key, ())
        fits = key == "next_state" or value.shape[1:].is_compatible_with(asked)
        if not value.shape[:1].is_compatible_with(rows) or not fits:
            numbers = "one value" if key != "action" or not action.shape else f"{action.shape[0]} numbers"
            raise ValueError(
                f"labels[{key!r}] has shape {tuple(value.shape)}; asked for is {numbers} for each of the {rows[0]} states"
                + (f", or {window[0]} like the rewards." if key in WINDOWED and window.rank == 1 else ".")
            )
        if key != "next_state":
            checked[key] = tf.cast(value, action.dtype if key == "action" else tf.float32)
    return checked


def is_window(labels: Mapping[str, tf.Tensor]) -> bool:
    """Whether the labels are windows of several steps, `[B, n]`."""
    return labels["reward"].shape.rank == 2 and labels["done"].shape.rank == 2


def reduce_window(labels: Mapping[str, tf.Tensor], gamma: float) -> dict[str, tf.Tensor]:
    """Windows of `n` steps as single transitions: `reward`, `done` and `discount` are `[B]` then, `truncated` is gone.

    `next_state` is the one after the last step that counts; see `ops.n_step_return` for which that is.

    Args:
        labels: checked ones, with `reward` and `done` `[B, n]`, and `truncated` `[B, n]` (zeros without it).
        gamma: the discount of one step.

    Raises:
        ValueError: if they hold a `discount` of their own.
    """
    if "discount" in labels:
        raise ValueError("labels['discount'] must be left out with rewards [B, n]: the model's own discount reduces them.")
    reduced = dict(labels)
    reward, done = reduced["reward"], reduced["done"]
    window = ops.n_step_return(reward, done, reduced.pop("truncated", tf.zeros_like(done)), gamma)
    last = tf.gather(done, window.steps - 1, axis=1, batch_dims=1)  # [B]
    return {**reduced, "reward": window.reward, "discount": window.discount, "done": last}


def _check_state(name: str, state: tf.Tensor, shape: tuple[int, ...]) -> None:
    numbered = len(shape) == 1 and state.shape.rank == 1 and state.dtype.is_integer
    if state.shape.rank is not None and not numbered and not state.shape[1:].is_compatible_with(shape):
        wanted = ", ".join(["batch", *map(str, shape)])
        raise ValueError(f"{name} has shape {tuple(state.shape)}; num_states asks for [{wanted}].")
