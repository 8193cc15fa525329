"""Checks of what a Q model is called with: features, labels, shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl import ops
from polyrl.models import features as features_of
from polyrl.models.records import Batch
from polyrl.policies import BoundedTensorSpec
from polyrl.validation import check_int

LABELS = ("action", "reward", "done", "next_state")
WINDOWED = ("reward", "done", "truncated")
NEXT_MASK = f"next_{features_of.MASK}"


def state_shape(num_states: int | Sequence[int]) -> tuple[int, ...]:
    """`num_states` as a shape: an int is the size of a vector, or the number of discrete states."""
    plain = num_states.tolist() if isinstance(num_states, np.ndarray) else num_states
    sizes = list(plain) if isinstance(plain, (Sequence, tf.TensorShape)) and not isinstance(plain, str) else [plain]
    return tuple(check_int("num_states", size, minimum=1) for size in sizes)


def state_of(features: Any) -> tf.Tensor:
    """The state batch `[B, ...]` of features that are it, or that hold it."""
    return features["state"] if isinstance(features, Mapping) else features


def next_features(features: Any, labels: Mapping[str, tf.Tensor]) -> Any:
    """The features of the next states: each is the label called `next_<key>`, or stays as it is where there is none."""
    if not isinstance(features, Mapping):
        return labels["next_state"]
    return {key: labels.get(f"next_{key}", value) for key, value in features.items()}


def check_features(features: Any, shape: tuple[int, ...], num_actions: int) -> Any:
    """The features as tensors; `action_mask`, if it is there, as bool `[B, A]`.

    Raises:
        KeyError: if they are a dict without `state`.
        TypeError: if `action_mask` is neither of bools nor of integers.
        ValueError: if the state is not `[B, *shape]` (or, with a shape `(n,)`, integers `[B]`: state indices), or
            `action_mask` not `[B, num_actions]`, or without a legal action in one of its rows.
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
    if isinstance(features, dict) and features_of.MASK in features:
        name = f"features[{features_of.MASK!r}]"
        mask = features_of.checked(name, features[features_of.MASK], state_of(features).shape[0], num_actions)
        features_of.check_legal(name, mask)
        features[features_of.MASK] = mask
    return features


def check_labels(
    labels: Mapping[str, Any], features: Any, shape: tuple[int, ...], action: BoundedTensorSpec
) -> dict[str, tf.Tensor]:
    """The labels as tensors.

    `action` is as its spec says, `next_action_mask` bool, other features of the next state as they are, all else float32.

    Windows of `n` steps have `reward`, `done`, and `truncated` if it is there, of shape `[B, n]`.

    Raises:
        KeyError: for a missing one; `next_action_mask` is required if the features have `action_mask`.
        TypeError: if `next_action_mask` is neither of bools nor of integers.
        ValueError: if one has not a row for each state, or `next_state` is not `[B, *shape]`, or `next_<key>` is not as the
            feature `key` is.
    """
    masked = isinstance(features, Mapping) and features_of.MASK in features
    for key in (*LABELS, *([NEXT_MASK] if masked else [])):
        if key not in labels:
            raise KeyError(f"labels must contain {key!r}; they have {sorted(labels)}.")
    rows = state_of(features).shape[:1]
    checked = {key: tf.convert_to_tensor(value) for key, value in labels.items()}
    _check_state("labels['next_state']", checked["next_state"], shape)
    of_next = {f"next_{key}": value for key, value in (features.items() if isinstance(features, Mapping) else ())}
    window = checked["reward"].shape[1:] if is_window(checked) else tf.TensorShape([])
    for key, value in checked.items():
        if key == NEXT_MASK:
            checked[key] = features_of.checked(f"labels[{key!r}]", value, rows[0], 1 + int(action.maximum))
            continue
        if key in of_next and key != "next_state":
            wanted = of_next[key]
            if value.dtype != wanted.dtype or not value.shape.is_compatible_with(wanted.shape):
                raise ValueError(
                    f"labels[{key!r}] is {value.dtype.name} {tuple(value.shape)}; features[{key[len('next_') :]!r}] is "
                    f"{wanted.dtype.name} {tuple(wanted.shape)}."
                )
            continue
        expected = {"action": action.shape, **dict.fromkeys(WINDOWED, window)}.get(key, ())
        fits = key == "next_state" or value.shape[1:].is_compatible_with(expected)
        if not value.shape[:1].is_compatible_with(rows) or not fits:
            numbers = "one value" if key != "action" or not action.shape else f"{action.shape[0]} numbers"
            raise ValueError(
                f"labels[{key!r}]: expected {numbers} for each of the {rows[0]} states"
                + (f", or {window[0]} like the rewards" if key in WINDOWED and window.rank == 1 else "")
                + f", got shape {tuple(value.shape)}."
            )
        if key != "next_state":
            checked[key] = tf.cast(value, action.dtype if key == "action" else tf.float32)
    return checked


def is_window(labels: Mapping[str, tf.Tensor]) -> bool:
    """Whether the labels are windows of several steps, `[B, n]`."""
    return labels["reward"].shape.rank == 2 and labels["done"].shape.rank == 2


def as_batch(features: Any, labels: Mapping[str, tf.Tensor], gamma: float) -> Batch:
    """Features and labels as the transitions that they are.

    Windows of `n` steps become single transitions: see `ops.n_step_return` for which step is the last that counts.
    `next_state` is the one after it.

    Args:
        features: a state batch, or a dict.
        labels: `reward` and `done` `[B]`, or `[B, n]` with `truncated` `[B, n]` (zeros without it).
        gamma: the discount of one step.

    Raises:
        ValueError: for windows with a `discount` of their own.
    """
    reward, done = tf.cast(labels["reward"], tf.float32), tf.cast(labels["done"], tf.float32)
    if is_window(labels):
        if "discount" in labels:
            raise ValueError("labels['discount'] must be left out with rewards [B, n]: the model's own discount reduces them.")
        truncated = tf.cast(labels.get("truncated", tf.zeros_like(done)), tf.float32)
        window = ops.n_step_return(reward, done, truncated, gamma)
        last = tf.gather(done, window.steps - 1, axis=1, batch_dims=1)  # [B]
        reward, discount = window.reward, window.discount * (1.0 - last)
    else:
        discount = labels.get("discount", gamma) * (1.0 - done)
    return Batch(
        inputs=features_of.network_inputs(features),
        action=labels["action"],
        reward=reward,
        discount=discount,
        next_inputs=features_of.network_inputs(next_features(features, labels)),
        mask=features_of.mask_of(features),
        next_mask=tf.cast(labels[NEXT_MASK], tf.bool) if NEXT_MASK in labels else None,
        weights=labels.get("weights"),
        expert=labels.get("expert"),
    )


def _check_state(name: str, state: tf.Tensor, shape: tuple[int, ...]) -> None:
    is_index = len(shape) == 1 and state.shape.rank == 1 and state.dtype.is_integer
    if state.shape.rank is not None and not is_index and not state.shape[1:].is_compatible_with(shape):
        wanted = ", ".join(["batch", *map(str, shape)])
        raise ValueError(f"{name}: expected shape [{wanted}] by num_states, got {tuple(state.shape)}.")
