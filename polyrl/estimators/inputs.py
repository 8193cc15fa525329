"""What a state is, as a checkpoint notes it, and the states a user gives to be acted on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.envs.observations import MASK


def describe_state(spec: Any) -> dict[str, Any]:
    """The spec of one state for `state.json`: its shape and dtype; under `dict` those of each key, if it is one."""
    if isinstance(spec, Mapping):
        return {"dict": {key: describe_state(part) for key, part in spec.items()}}
    return {"shape": list(spec.shape), "dtype": spec.dtype.name}


def specs_of(description: Mapping[str, Any]) -> Any:
    """The spec of one state, or a dict of specs, that `describe_state` described."""
    if "dict" in description:
        return {key: specs_of(part) for key, part in description["dict"].items()}
    return tf.TensorSpec(description["shape"], tf.as_dtype(description["dtype"]))


def check_described(state: Any, description: Mapping[str, Any]) -> None:
    """Refuses an environment whose states `[N, ...]` are not as `describe_state` described those of the training."""
    given = describe_state(tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape[1:], tf.as_dtype(x.dtype)), state))
    if given != dict(description):
        raise ValueError(f"The environment's states are {given}; expected {dict(description)}, as in training.")


def batch_of_states(name: str, state: Any, spec: Mapping[str, Any]) -> tuple[Any, bool]:
    """A state, or a batch of states, as a batch, and whether it was one state; `spec` is as `describe_state` gives it.

    Raises:
        TypeError: if the spec is a dict, and the state is not.
        ValueError: for other keys or another shape, a mix of one state and a batch, or a mask without a legal action.
    """
    if "dict" not in spec:
        array = np.asarray(state, dtype=spec["dtype"])
        single = array.ndim == len(spec["shape"])
        if array.shape[0 if single else 1 :] != tuple(spec["shape"]):
            raise ValueError(f"{name} has shape {array.shape}; expected {tuple(spec['shape'])} or a batch of them.")
        return array[np.newaxis] if single else array, single
    parts = spec["dict"]
    if not isinstance(state, Mapping):
        raise TypeError(f"{name} must be a dict with the keys {sorted(parts)}, got {state!r}.")
    if state.keys() != parts.keys():
        raise ValueError(f"{name} has the keys {sorted(state)}; expected {sorted(parts)}.")
    batches = {key: batch_of_states(f"{name}[{key!r}]", state[key], parts[key]) for key in parts}
    if len({(single, len(values)) for values, single in batches.values()}) > 1:
        shapes = {key: np.shape(values) for key, values in state.items()}
        raise ValueError(f"{name} must be one state or a batch of them in all of its keys; the shapes are {shapes}.")
    stuck = np.flatnonzero(~batches[MASK][0].any(axis=1)).tolist() if MASK in batches else []
    if stuck:
        raise ValueError(f"{name}[{MASK!r}] leaves no legal action in rows {stuck}; each row needs at least one.")
    return {key: values for key, (values, _) in batches.items()}, batches["state"][1]
