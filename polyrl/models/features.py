"""What a Q model's features hold in addition to the state: masks of legal actions, and which states begin an episode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.policies import StepType, TimeStep
from polyrl.policies import time_step_spec as time_step_spec_of

MASK = "action_mask"

STEP_TYPE = "step_type"
"""The key of `StepType` int32 `[B]` of the states; temporally correlated exploration and recurrent layers need it."""

NETWORK_STATE = "network_state"
"""The key of what recurrent layers remember before the states, float32 `[B, H]`, or before the first ones of sequences."""


def observation(features: Any) -> Any:
    """The part of the features that a policy observes: all but `step_type` and `network_state`."""
    return _without(NETWORK_STATE, _without(STEP_TYPE, features))


def time_step_spec(features: Any) -> TimeStep:
    """The spec of the time steps of a policy that observes such features, `[B, ...]`."""
    specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape[1:], t.dtype), observation(features))
    return time_step_spec_of(specs)


def split(features: Any) -> tuple[Any, tf.Tensor | None]:
    """The part of an observation that the networks are given, all but `action_mask`; and the mask, bool `[B, A]`, or None."""
    return _without(MASK, features), mask_of(features)


def mask_of(features: Any) -> tf.Tensor | None:
    """The legal actions, bool `[B, A]`; None if the features do not say."""
    if not isinstance(features, Mapping) or MASK not in features:
        return None
    return tf.cast(features[MASK], tf.bool)


def is_first(features: Any) -> tf.Tensor | None:
    """Which states are the first of an episode, bool `[B]`; None if the features do not say."""
    if not isinstance(features, Mapping) or STEP_TYPE not in features:
        return None
    return tf.equal(features[STEP_TYPE], StepType.FIRST)


def network_inputs(features: Any) -> Any:
    """The part of the features that the networks are given: what a policy observes, but for `action_mask`."""
    return _without(MASK, observation(features))


def network_state(features: Any) -> tf.Tensor | None:
    """What recurrent layers remember; None if the features do not say."""
    return features.get(NETWORK_STATE) if isinstance(features, Mapping) else None


def time_step(features: Any, rows: tf.Tensor) -> TimeStep:
    """The time step that such features are to a policy, `[B, ...]`: the first of an episode if they do not say."""
    step = TimeStep.restart(observation(features), batch_size=rows)
    known = isinstance(features, Mapping) and STEP_TYPE in features
    return step._replace(step_type=tf.cast(features[STEP_TYPE], step.step_type.dtype)) if known else step


def splitter(features: Any) -> Callable[[Any], tuple[Any, Any]] | None:
    """The function that splits the mask off such features, for a policy; None if they have no mask."""
    return None if mask_of(features) is None else split


def _without(key: str, features: Any) -> Any:
    if not isinstance(features, Mapping) or key not in features:
        return features
    return {name: value for name, value in features.items() if name != key}


def checked(name: str, mask: tf.Tensor, rows: int | None, num_actions: int) -> tf.Tensor:
    """A mask as bool `[B, A]`.

    Raises:
        TypeError: if it is neither of bools nor of integers.
        ValueError: if it has another shape.
    """
    if not (mask.dtype.is_bool or mask.dtype.is_integer):
        raise TypeError(f"{name}: expected bools, or integers that are 0 for illegal actions, got {mask.dtype.name}.")
    if not mask.shape.is_compatible_with([rows, num_actions]):
        raise ValueError(
            f"{name}: expected shape [batch, num_actions], here ({rows}, {num_actions}), got {tuple(mask.shape)}."
        )
    return tf.cast(mask, tf.bool)


def check_legal(name: str, mask: tf.Tensor, needed: tf.Tensor | None = None) -> None:
    """Refuses rows without a legal action.

    Args:
        name: of the mask, for the message.
        mask: bool `[B, A]`.
        needed: bool `[B]`, which rows need one; None: all.

    Raises:
        ValueError: eagerly; the message names the rows. In a graph it is an InvalidArgumentError, but XLA checks nothing.
    """
    fits = tf.reduce_any(mask, axis=1)  # [B]
    fits = fits if needed is None else fits | ~needed
    message = f"{name} leaves no legal action in rows"
    if tf.executing_eagerly():
        wrong = np.flatnonzero(~fits.numpy())
        if wrong.size:
            raise ValueError(f"{message} {wrong.tolist()}; each row needs at least one.")
        return
    rows = tf.where(fits, -1, tf.range(tf.shape(fits)[0]))
    tf.debugging.Assert(tf.reduce_all(fits), [f"{message} (those that are not -1):", rows], summarize=-1)
