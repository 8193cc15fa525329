"""Masks of legal actions, and logits among the legal actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from polyrl.policies.arguments import refuse_rows

SMALLEST_TEMPERATURE = 1.2e-38
"""The smallest number that float32 can divide by; below it a temperature counts as 0."""


def split_observation(
    splitter: Callable[[Any], tuple[Any, Any]] | None, observation: Any, num_actions: int
) -> tuple[Any, tf.Tensor | None]:
    """Splits an observation into the network's input and the legal actions: bool `[B, A]`, None if all are legal.

    Raises:
        ValueError: if the splitter does not return a pair, or the mask has a wrong shape.
        tf.errors.InvalidArgumentError: if a row has no legal action; XLA skips this check.
    """
    if splitter is None:
        return observation, None
    parts = splitter(observation)
    if not isinstance(parts, tuple | list) or len(parts) != 2:
        raise ValueError(f"observation_and_action_constraint_splitter must return (observation, mask), got {parts!r}.")
    return parts[0], check_legal(parts[1], num_actions)


def check_legal(mask: Any, num_actions: int) -> tf.Tensor:
    """A mask (nonzero is legal) as bool `[B, A]`.

    Raises:
        ValueError: if the mask has another shape.
        tf.errors.InvalidArgumentError: if a row has no legal action; XLA skips this check.
    """
    legal = tf.cast(mask, tf.bool)
    if not legal.shape.is_compatible_with([None, num_actions]):
        raise ValueError(f"The mask has shape {legal.shape}, expected [B, {num_actions}] by action_spec.")
    message, fits = "The mask leaves a row without any legal action", tf.reduce_any(legal, axis=1)
    if tf.executing_eagerly():
        refuse_rows(f"{message}, in the rows", tf.where(~fits)[:, 0])
        return legal
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(fits), [f"{message}."])]):
        return tf.identity(legal)


def tempered(values: tf.Tensor, legal: tf.Tensor | None, temperature: Any) -> tf.Tensor:
    """Logits `[B, A]` of `softmax(values / temperature)` among the legal actions; minus infinity for the others.

    At temperature 1, if that is a number, they are the values themselves; else the highest legal one has the logit 0. At a
    temperature of 0, or below `SMALLEST_TEMPERATURE`, the argmax has probability 1, the first one in case of ties.

    Args:
        values: float32 `[B, A]`.
        legal: bool `[B, A]`; None if all are.
        temperature: at least 0; a number, or float32 `[]`.
    """
    # A legal action stays above the illegal ones even if its own value is minus infinity.
    values = tf.maximum(values, values.dtype.min)
    if legal is not None:
        values = tf.where(legal, values, float("-inf"))
    if not tf.is_tensor(temperature):
        return _divided(values, temperature) if temperature >= SMALLEST_TEMPERATURE else _argmax_only(values)
    divides = temperature >= SMALLEST_TEMPERATURE
    return tf.where(divides, _divided(values, tf.where(divides, temperature, 1.0)), _argmax_only(values))


def _divided(values: tf.Tensor, temperature: Any) -> tf.Tensor:
    if not tf.is_tensor(temperature) and temperature == 1.0:
        return values
    # The highest value becomes 0 before the division, so that a small temperature cannot overflow. The lower limit keeps it
    # finite in a row without legal actions.
    highest = tf.maximum(tf.reduce_max(values, axis=1, keepdims=True), values.dtype.min)
    return (values - highest) / temperature


def _argmax_only(values: tf.Tensor) -> tf.Tensor:
    return tf.one_hot(tf.argmax(values, axis=1), tf.shape(values)[1], on_value=0.0, off_value=float("-inf"))
