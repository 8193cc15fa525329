"""Whether a model knows all of an environment's discrete states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from polyrl.envs.observations import as_features
from polyrl.errors import gist
from polyrl.models.scope import Scope
from polyrl.policies import BoundedTensorSpec


def try_last_states(act: Callable[[Any], Any], scope: Scope, state: Any, num_envs: int) -> None:
    """Acts in the last of the discrete states, if the spec of one state has any: a table of too few rows would fail at
    some later time, or, compiled by XLA, never. It leaves all variables as they are.

    Args:
        act: acts in states `[N, ...]`.
        scope: whose variables acting may change.
        state: the spec of one state, or a dict of specs.
        num_envs: N.

    Raises:
        ValueError: if the model fails there.
    """
    specs = as_features(state)
    last = {key: int(spec.maximum) for key, spec in specs.items() if isinstance(spec, BoundedTensorSpec)}
    if not last:
        return
    states = {key: tf.fill([num_envs, *spec.shape], tf.cast(last.get(key, 1), spec.dtype)) for key, spec in specs.items()}
    before = [(variable, variable.read_value()) for variable in scope.variables]
    try:
        with tf.device("CPU:0"):  # Elsewhere a lookup beyond the end of a table raises nothing.
            act(states)
    except tf.errors.OpError as error:
        raise ValueError(
            f"The model fails in the last of the environment's discrete states, {last}, counted from 0: {gist(error)}. "
            "Give its layers a row for each state: the num_states of embedding_mlp, the input_dim of an Embedding."
        ) from error
    finally:
        for variable, value in before:
            variable.assign(value)
