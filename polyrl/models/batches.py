"""Checks of what a Q model is called with: features, labels, shapes."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl import ops
from polyrl.models import features as features_of
from polyrl.models.label_values import check_finite, check_index, check_values, is_index
from polyrl.models.records import Batch
from polyrl.models.sequences import Steps
from polyrl.ops.inputs import as_numbers
from polyrl.policies import BoundedTensorSpec
from polyrl.validation import check_int, suggestion

LABELS = ("action", "reward", "done", "next_state")
WINDOWED = ("reward", "done", "truncated")
NEXT_MASK = f"next_{features_of.MASK}"
OPTIONAL = ("truncated", "discount", "weights", "expert", "index", NEXT_MASK)
"""Labels that may be there, as may that of sequences; `index` is the rows' positions in a prioritized memory."""


def state_shape(num_states: int | Sequence[int]) -> tuple[int, ...]:
    """`num_states` as a shape: an int is the size of a vector, or the number of discrete states."""
    if not isinstance(num_states, (numbers.Integral, np.ndarray, Sequence, tf.TensorShape)) or isinstance(num_states, str):
        raise TypeError(
            f"num_states={num_states!r} must be a number or a shape; num_states_and_actions(env) gives an environment's."
        )
    plain = num_states.tolist() if isinstance(num_states, np.ndarray) else num_states
    sizes = list(plain) if isinstance(plain, (Sequence, tf.TensorShape)) else [plain]
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
        TypeError: for a key that is not a str; if `action_mask` is neither of bools nor of integers.
        ValueError: if the state is not `[B, *shape]` (or, with a shape `(n,)`, integers `[B]`: state indices), or
            `action_mask` not `[B, num_actions]`, or without a legal action in one of its rows; eagerly for NaN and infinity.
    """
    if isinstance(features, Mapping):
        _check_keys("features", features)
        if "state" not in features:
            raise KeyError(f"features must contain 'state'; they have {sorted(features)}.")
        features = {key: as_numbers(f"features[{key!r}]", value) for key, value in features.items()}
    else:
        features = as_numbers("features", features)
    _check_state("features['state']", state_of(features), shape)
    if state_of(features).shape[:1] == [0]:
        raise ValueError("features['state'] is an empty batch; there must be at least one row.")
    if isinstance(features, dict):
        _check_rows_alike(features)
    for key, value in features.items() if isinstance(features, dict) else [("state", features)]:
        check_finite(f"features[{key!r}]", value)
    if isinstance(features, dict) and features_of.MASK in features:
        name = f"features[{features_of.MASK!r}]"
        mask = features_of.checked(name, features[features_of.MASK], state_of(features).shape[0], num_actions)
        features_of.check_legal(name, mask)
        features[features_of.MASK] = mask
    return features


def check_labels(
    labels: Mapping[str, Any],
    features: Any,
    shape: tuple[int, ...],
    action: BoundedTensorSpec,
    further: Sequence[str] = (),
) -> dict[str, tf.Tensor]:
    """The labels as tensors.

    `action` is as its spec says, `next_action_mask` bool, other features of the next state as they are, all else float32.

    Windows of `n` steps have `reward`, `done`, and `truncated` if it is there, of shape `[B, n]`. Those that `further`
    names are kept as they are.

    Raises:
        KeyError: for a missing one; `next_action_mask` is required if the features have `action_mask`.
        TypeError: if they are not a dict, if one is not made of numbers, a discrete `action` not of integers, or
            `next_action_mask` neither of bools nor of integers.
        ValueError: for a key that is not known; if one has not a row for each state, or `next_state` is not `[B, *shape]`, or
            `next_<key>` is not as the feature `key` is; eagerly also for values out of range.
    """
    if not isinstance(labels, Mapping):
        raise TypeError(f"labels must be a dict with the keys {list(LABELS)}, got {labels!r}.")
    _check_keys("labels", labels)
    masked = isinstance(features, Mapping) and features_of.MASK in features
    for key in (*LABELS, *([NEXT_MASK] if masked else [])):
        if key not in labels:
            raise KeyError(f"labels must contain {key!r}; they have {sorted(labels)}.")
    known = _check_names(labels, features, further)
    rows = state_of(features).shape[:1]
    kept = {key: tf.convert_to_tensor(labels[key]) for key in labels if key not in known}
    checked = {key: as_numbers(f"labels[{key!r}]", value) for key, value in labels.items() if key not in kept}
    _check_state("labels['next_state']", checked["next_state"], shape)
    if not checked["next_state"].shape[1:].is_compatible_with(state_of(features).shape[1:]):
        shapes = tuple(checked["next_state"].shape), tuple(state_of(features).shape)
        raise ValueError(f"labels['next_state'] has shape {shapes[0]}; features['state'] has {shapes[1]}.")
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
        if (key == "index" or (key == "action" and action.dtype.is_integer)) and not value.dtype.is_integer:
            raise TypeError(f"labels[{key!r}]: expected integers, got {value.dtype.name}.")
    check_values(checked, features_of.mask_of(features), action)
    as_given = {"next_state", "index", NEXT_MASK, *of_next}
    dtypes = {key: action.dtype if key == "action" else tf.float32 for key in checked if key not in as_given}
    return {**checked, **{key: tf.cast(checked[key], dtype) for key, dtype in dtypes.items()}, **kept}


def is_window(labels: Mapping[str, tf.Tensor]) -> bool:
    """Whether the labels are windows of several steps, `[B, n]`."""
    return labels["reward"].shape.rank == 2 and labels["done"].shape.rank == 2


def as_batch(features: Any, labels: Mapping[str, tf.Tensor], gamma: float, steps: Steps | None = None) -> Batch:
    """Features and labels as the transitions that they are.

    Windows of `n` steps become single transitions: see `ops.n_step_return` for which step is the last that counts.
    `next_state` is the one after it.

    Args:
        features: a state batch, or a dict.
        labels: `reward` and `done` `[B]`, or `[B, n]` with `truncated` `[B, n]` (zeros without it).
        gamma: the discount of one step.
        steps: how the rows follow each other; None for single transitions.

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
        reward, discount, covered = window.reward, window.discount * (1.0 - last), window.steps
    else:
        covered = None
        discount = labels.get("discount", gamma) * (1.0 - done)
    return Batch(
        inputs=features_of.network_inputs(features),
        action=labels["action"],
        reward=reward,
        discount=discount,
        next_inputs=_without_ends(features_of.network_inputs(next_features(features, labels)), discount),
        mask=features_of.mask_of(features),
        next_mask=tf.cast(labels[NEXT_MASK], tf.bool) if NEXT_MASK in labels else None,
        weights=_weights(labels.get("weights"), steps),
        expert=labels.get("expert"),
        steps=steps,
        covered=covered,
    )


def _weights(weights: tf.Tensor | None, steps: Steps | None) -> tf.Tensor | None:
    """The weights of the rows, `[B]`: those of the labels, times those of the steps; None: all count alike."""
    if steps is None or weights is None:
        return weights if steps is None else steps.of_rows
    return weights * steps.of_rows


def _without_ends(inputs: Any, discount: tf.Tensor) -> Any:
    """The inputs of the next states, with zeros for NaN and infinity where nothing bootstraps: 0 times NaN would be NaN.

    A terminal state may be anything. Finite numbers stay as they are.
    """

    def kept(values: tf.Tensor) -> tf.Tensor:
        if not values.dtype.is_floating:
            return values
        bootstraps = tf.reshape(discount > 0.0, [-1, *[1] * (values.shape.rank - 1)])
        return tf.where(bootstraps | tf.math.is_finite(values), values, tf.zeros_like(values))

    return tf.nest.map_structure(kept, inputs)


def _check_keys(name: str, given: Mapping[Any, Any]) -> None:
    for key in given:
        if not isinstance(key, str):
            raise TypeError(f"{name} have the key {key!r}; keys must be of type str.")


def _check_rows_alike(features: Mapping[str, tf.Tensor]) -> None:
    rows = features["state"].shape[:1]
    for key, value in features.items():
        checked_elsewhere = key in (features_of.MASK, features_of.NETWORK_STATE)  # There is one of these for a sequence.
        if not checked_elsewhere and not value.shape[:1].is_compatible_with(rows):
            raise ValueError(f"features[{key!r}] has shape {tuple(value.shape)}; expected a row for each of {rows[0]} states.")


def _check_names(labels: Mapping[str, Any], features: Any, further: Sequence[str]) -> set[str]:
    """Refuses a label that nothing would read; gives the keys that all models know."""
    parts = features if isinstance(features, Mapping) else ("state",)
    known = {*LABELS, *OPTIONAL, *(f"next_{key}" for key in parts)}
    for key in labels:
        if key in known or key in further:
            continue
        if key == "terminated":
            raise ValueError("labels['terminated'] is called 'done' here: 1 where the episode terminated, 0 elsewhere.")
        if key == "advantage":
            raise ValueError(
                "labels['advantage'] must be left out: a Q model computes advantages itself. To weight rows use 'weights'."
            )
        names = sorted({*known, *further})
        raise ValueError(f"labels have the unknown key {key!r}; use some of {names}.{suggestion(str(key), names)}")
    return known


def _check_state(name: str, state: tf.Tensor, shape: tuple[int, ...]) -> None:
    check_index(name, state, shape)
    if state.shape.rank is not None and not is_index(state, shape) and not state.shape[1:].is_compatible_with(shape):
        wanted = ", ".join(["batch", *map(str, shape)])
        got = tuple(state.shape)
        given = got[1:] if len(got) != 2 else got[1]
        is_known = len(got) > 1 and None not in got[1:]
        remedy = f" For states as these build the model with num_states={given}." if is_known else ""
        raise ValueError(f"{name}: expected shape [{wanted}] by num_states, got {got}.{remedy}")
