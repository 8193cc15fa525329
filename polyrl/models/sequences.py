"""Sequences: how the rows of a batch follow each other, for models that learn from consecutive steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from polyrl.engine.replicas import mean_over_replicas
from polyrl.models import features as features_of
from polyrl.networks.unrolling import Unroll

VALID = "valid"
"""The label of sequences, float32 `[S, T]`: 0 for steps that hold nothing."""


class Steps(NamedTuple):
    """The rows of a batch as `S` sequences of `T` steps of one environment each: row `s T + t` is step `t` of sequence `s`.

    All are float32 `[S, T]`: `truncated`, 1 where what comes after this step is not known, though it did not terminate the
    episode; `ended`, 1 where the next step is not of the same episode; `weights`, with a mean of 1: 0 for steps that hold
    nothing, or are not learned from.
    """

    truncated: tf.Tensor
    ended: tf.Tensor
    weights: tf.Tensor

    @property
    def of_rows(self) -> tf.Tensor:
        """The weights row by row, `[S T]`."""
        return tf.reshape(self.weights, [-1])

    @classmethod
    def of(cls, labels: Mapping[str, tf.Tensor], burn_in: int) -> Steps | None:
        """What labels say that have been through `flat`; None for single transitions.

        Args:
            labels: of a batch.
            burn_in: steps at the beginning of each sequence that are not learned from.

        Raises:
            ValueError: for sequences without a further step.
        """
        if VALID not in labels:
            return None
        valid = labels[VALID]
        if valid.shape[1] <= burn_in:
            raise ValueError(f"burn_in={burn_in} must be below the {valid.shape[1]} steps of a sequence: it learns from none.")
        nothing = tf.zeros_like(valid)
        done, truncated = (
            tf.reshape(_first(labels[key]), tf.shape(valid)) if key in labels else nothing for key in ("done", "truncated")
        )
        learned = valid * tf.cast(tf.range(valid.shape[1]) >= burn_in, tf.float32)
        (share,) = mean_over_replicas([tf.reduce_mean(learned)])
        weights = learned / tf.maximum(share, 1e-6)
        return cls(truncated, tf.maximum(done, truncated), weights)


def flat(features: Any, labels: Any) -> tuple[Any, Any]:
    """Sequences step by step: `[S, T, ...]` becomes `[S T, ...]`. What has no label `valid` stays as it is.

    So do `valid` itself, float32 `[S, T]`, and the feature `network_state`, which belongs to the first steps.

    Raises:
        ValueError: if `valid` is not `[S, T]`.
    """
    if not isinstance(labels, Mapping) or VALID not in labels:
        return features, labels
    valid = tf.cast(labels[VALID], tf.float32)
    if valid.shape.rank != 2 or valid.shape[1] is None:
        raise ValueError(f"labels['{VALID}'] has shape {tuple(valid.shape)}; expected [sequences, steps].")
    labels = {**{key: _flat(value) for key, value in labels.items() if key != VALID}, VALID: valid}
    if not isinstance(features, Mapping):
        return _flat(features), labels
    kept = {features_of.NETWORK_STATE}
    return {key: value if key in kept else _flat(value) for key, value in features.items()}, labels


def unroll(features: Any, steps: Steps | None, burn_in: int) -> Unroll:
    """How the rows of a forward pass follow each other, and what recurrent layers remember at its beginning."""
    state, is_first = features_of.network_state(features), features_of.is_first(features)
    if steps is not None:
        return Unroll(state, steps.ended, burn_in)
    if state is not None and is_first is not None:
        state = tf.where(is_first[:, tf.newaxis], tf.zeros_like(state), state)
    return Unroll(state)


def after_last_steps(states: tf.Tensor, covered: tf.Tensor | None) -> tf.Tensor:
    """What recurrent layers remember where each transition ends, `[B, H]`.

    Args:
        states: what they remember after each row, `[B, H]`.
        covered: how many steps each transition covers, int32 `[B]`; None: one.
    """
    if covered is None:
        return states
    return tf.gather(states, tf.range(tf.shape(covered)[0]) + covered - 1)


def _flat(values: Any) -> tf.Tensor:
    """`[S, T, ...]` as `[S T, ...]`."""
    tensor = tf.convert_to_tensor(values)
    if tensor.shape.rank is not None and tensor.shape.rank < 2:
        raise ValueError(f"Sequences have features and labels [sequences, steps, ...]; got the shape {tuple(tensor.shape)}.")
    return tf.reshape(tensor, [-1, *tensor.shape[2:]])


def _first(values: tf.Tensor) -> tf.Tensor:
    """Of windows `[B, n]` the first step, `[B]`."""
    return values if values.shape.rank == 1 else values[:, 0]
