"""What a state is, as a checkpoint notes it, and the states a user gives to be acted on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Dict, Discrete, Space

from polyrl.envs.contract import fit, short
from polyrl.envs.observations import MASK
from polyrl.policies import BoundedTensorSpec


def spec_of_states(states: Any, space: Space[Any] | None) -> Any:
    """The spec of one of the states `[N, ...]`, or a dict of specs; for discrete states (indices from 0) a bounded spec.

    Args:
        states: arrays or their specs.
        space: the observation space; None for what is not a part of it, such as a mask.
    """
    if isinstance(states, Mapping):
        parts = space if isinstance(space, Dict) else {"state": space}
        return {key: spec_of_states(part, parts.get(key)) for key, part in states.items()}
    shape, dtype = states.shape[1:], tf.as_dtype(states.dtype)
    if isinstance(space, Discrete):
        return BoundedTensorSpec(shape, dtype, 0, int(space.n) - 1)
    return tf.TensorSpec(shape, dtype)


def describe_state(spec: Any, space: Space[Any] | None = None) -> dict[str, Any]:
    """The spec of one state for `state.json`: its shape and dtype; under `dict` those of each key, if it is one.

    For discrete states in the environment's space also `n`, their number, and `start`, the first of them.
    """
    if isinstance(spec, Mapping):
        parts = space if isinstance(space, Dict) else {"state": space}
        return {"dict": {key: describe_state(part, parts.get(key)) for key, part in spec.items()}}
    described = {"shape": list(spec.shape), "dtype": spec.dtype.name}
    return described | ({"n": int(space.n), "start": int(space.start)} if isinstance(space, Discrete) else {})


def describe(spec: Any, observation_space: Space[Any], action_space: Space[Any]) -> dict[str, Any]:
    """What `state.json` says of the environment: `state_spec`, see `describe_state`, and `first_action`.

    That is the lowest action of a Discrete space: models count actions from 0. It is 0 for continuous actions.
    """
    first = int(action_space.start) if isinstance(action_space, Discrete) else 0
    return {"state_spec": describe_state(spec, observation_space), "first_action": first}


def discrete_states(description: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """The first of the discrete states of each key, and how many there are; keys with other states are left out."""
    parts = description.get("dict", {"state": description})
    return {key: (part["start"], part["n"]) for key, part in parts.items() if "n" in part}


def specs_of(description: Mapping[str, Any]) -> Any:
    """The spec of one state, or a dict of specs, that `describe_state` described."""
    if "dict" in description:
        return {key: specs_of(part) for key, part in description["dict"].items()}
    return tf.TensorSpec(description["shape"], tf.as_dtype(description["dtype"]))


def check_described(state: Any, space: Space[Any], description: Mapping[str, Any]) -> None:
    """Refuses an environment whose states `[N, ...]` are not as `describe_state` described those of the training."""
    specs = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape[1:], tf.as_dtype(x.dtype)), state)
    given = (describe_state(specs, space), describe_state(specs))  # Checkpoints of before do not tell discrete states apart.
    if dict(description) not in given:
        found, wanted = given[0].get("dict", given[0]), description.get("dict", description)
        if "dict" in given[0] and "dict" in description:  # Of many parts those that differ.
            names = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
            found, wanted = ({key: each.get(key) for key in names} for each in (found, wanted))
        raise ValueError(
            f"The environment's states are {dict(found)}; expected {dict(wanted)}, as in training. Use the environment that "
            "the model was trained in, or one with the same spaces."
        )


def batch_of_states(name: str, state: Any, spec: Mapping[str, Any]) -> tuple[Any, bool]:
    """A state, or a batch of states, as a batch, and whether it was one state; `spec` is as `describe_state` gives it.

    Raises:
        TypeError: if the spec is a dict, and the state is not; for what is not numbers.
        ValueError: for other keys, another shape, or numbers that the dtype cannot hold; for a state that does not exist; for
            a mix of one state and a batch, or a mask without a legal action.
    """
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], Mapping):
        raise TypeError(f"{name} is a tuple (observation, info), as env.reset() returns it; pass the observation alone.")
    if "dict" not in spec:
        return _batch(name, state, spec)
    parts = spec["dict"]
    if not isinstance(state, Mapping):
        raise TypeError(f"{name} must be a dict with the keys {_keys(parts)}, got {short(state)}.{_mask_hint(parts)}")
    if state.keys() != parts.keys():
        mask = _mask_hint(parts) if MASK not in state else ""
        raise ValueError(f"{name} has the keys {sorted(map(str, state))}; expected {_keys(parts)}.{mask}")
    batches = {key: batch_of_states(f"{name}[{key!r}]", state[key], parts[key]) for key in parts}
    if len({(single, len(values)) for values, single in batches.values()}) > 1:
        shapes = {key: np.shape(values) for key, values in state.items()}
        raise ValueError(f"{name} must be one state or a batch of them in all of its keys; the shapes are {shapes}.")
    stuck = np.flatnonzero(~batches[MASK][0].any(axis=1)).tolist() if MASK in batches else []
    if stuck:
        raise ValueError(f"{name}[{MASK!r}] leaves no legal action in rows {stuck}; each row needs at least one.")
    return {key: values for key, (values, _) in batches.items()}, batches["state"][1]


def _keys(parts: Mapping[str, Any]) -> str:
    """The keys of a dict, each with the shape and dtype that one state has there."""
    shown = (f"{key} {part['dtype']} {list(part['shape'])}" for key, part in sorted(parts.items()) if "dict" not in part)
    return ", ".join([*shown, *(key for key, part in sorted(parts.items()) if "dict" in part)])


def _mask_hint(parts: Mapping[str, Any]) -> str:
    return (
        f" The {MASK} says which actions are legal; the environment has it in its observation or info."
        if MASK in parts
        else ""
    )


def _batch(name: str, state: Any, spec: Mapping[str, Any]) -> tuple[np.ndarray, bool]:
    """One array of states, which are counted from 0 if they are discrete; and whether it was one state."""
    if state is None or isinstance(state, Mapping):
        got = "None" if state is None else f"a dict with the keys {sorted(map(str, state))}"
        raise TypeError(f"{name}: expected numbers in an array, as the states of the training were; got {got}.")
    shape, dtype = tuple(spec["shape"]), np.dtype(spec["dtype"])
    given = np.shape(state) if isinstance(state, (np.ndarray, np.generic, tf.Tensor)) else _shape(state)
    single = given is not None and len(given) == len(shape)
    if given is not None and given[0 if single else 1 :] != shape:
        raise ValueError(f"{name} has shape {given}; expected {shape} or a batch of them.")
    space: Space[Any] = Box(-np.inf, np.inf, shape, dtype) if dtype.kind == "f" else _integers(shape, dtype)
    if "n" in spec:
        space = Discrete(spec["n"], start=spec["start"])
    array = fit(state, space, given or (), name, "Pass a state as the environment returns it.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity: {short(state)}. Pass a state as the environment returns it.")
    array = (array - spec.get("start", 0)).astype(dtype) if "n" in spec else array
    return (array[np.newaxis] if single else array), single


def _integers(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Space[Any]:
    if dtype.kind == "b":
        return Box(0, 1, shape, np.bool_)
    return Box(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype.type)


def _shape(state: Any) -> tuple[int, ...] | None:
    """The shape of numbers in lists; None for rows of different lengths."""
    try:
        shape = np.shape(state)
        # That of a class may be anything; that of a tf.Variable is TensorFlow's.
        return tuple(shape) if isinstance(shape, (tuple, tf.TensorShape)) else None
    except Exception:  # Also whatever a value's own `__array__` raises.
        return None
