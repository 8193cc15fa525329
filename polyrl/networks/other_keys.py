"""`with_other_keys`: a torso that reads all of a Dict observation, not its `state` alone."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.modes import Modes
from polyrl.networks.any_mode import SameInEveryMode
from polyrl.validation import check_int

layers = tf_keras.layers


def with_other_keys(
    below: Callable[[str, Any], Any] | None, above: Callable[[str, Any], Any], keys: Mapping[str, int | None]
) -> Callable[[str, Any], Any]:
    """A torso that puts the numbers of other keys beside those of the state, and reads the two in one row.

        with_other_keys(cnn(units=()), mlp([64]), {"speed": None, "colour": 3})

    Args:
        below: the torso that reads the state, to `[B, n]`; None: the state's own numbers in one row.
        above: the torso that reads the row, `[B, n + m]`.
        keys: of the observation. A number n: its values are categories 0 to n - 1, and each becomes n numbers, one of which
            is 1. None: they are quantities, as in `cnn`: bytes are divided by 255, bools are 0 and 1.

    Raises:
        TypeError: for a number of categories that is not an int.
        ValueError: for one below 1, or without any key; when it is called, for a key that the observation does not have.
    """
    numbers = {key: None if n is None else check_int(f"keys[{key!r}]", n, minimum=1) for key, n in keys.items()}
    if not numbers:
        raise ValueError(f"keys={keys!r} must name keys of the observation beside the state.")

    def graph(mode: str, inputs: Any) -> Any:
        names = sorted(inputs) if isinstance(inputs, Mapping) else []
        for key in ("state", *numbers):
            if key not in names:
                raise ValueError(f"with_other_keys reads the key {key!r}; the observation has {names}.")
        state = _row(inputs["state"], None) if below is None else below(mode, inputs)
        return above(mode, layers.Concatenate()([state, *(_row(inputs[key], n) for key, n in numbers.items())]))

    parts = [above] if below is None else [below, above]
    same = all(isinstance(part, SameInEveryMode) for part in parts)
    return SameInEveryMode(functools.partial(graph, Modes.TRAIN)) if same else graph


def _row(x: tf.Tensor, categories: int | None) -> tf.Tensor:
    """Values `[B, ...]` as floats `[B, m]`."""
    if categories is not None:
        x = tf.one_hot(tf.cast(x, tf.int32), categories)
    elif x.dtype == tf.uint8:
        x = layers.Rescaling(1.0 / 255.0)(x)
    return layers.Reshape([math.prod(x.shape[1:])])(tf.cast(x, tf.float32))
