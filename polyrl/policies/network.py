"""A policy's network: how it is called, and which state and variables it has."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.policies.nests import is_empty
from polyrl.validation import KERAS3_REMEDY, is_keras3


def state_spec(network: Any) -> Any:
    """The specs of a recurrent network's state, its attribute `state_spec`; `()` without state.

    Raises:
        TypeError: if the network cannot be called, or is or holds a model or layer of Keras 3.
        ValueError: if a tf-keras model has a `state_spec` but its `call` has no argument `network_state`.
    """
    if not callable(network):
        raise TypeError(f"q_network={network!r} must be callable.")
    for path, value in _held("q_network", network):
        if is_keras3(value):
            place = path if "._" not in path else "q_network: a layer in it"
            raise TypeError(
                f"{place}={value!r} is a Keras 3 object: its variables would not be those of the policy. {KERAS3_REMEDY}"
            )
    spec = getattr(network, "state_spec", ())
    if _takes_observation_only(network) and not is_empty(spec):
        raise ValueError(f"q_network={network!r} has a state_spec, but its call has no argument network_state.")
    return spec


def call(network: Any, observation: Any, step_type: Any, network_state: Any) -> tuple[Any, Any]:
    """The network's output and its next state.

    Raises:
        TypeError: if the network does not take the arguments that it is called with, or its output is not real numbers.
        ValueError: if the network does not return a pair, or not one row for each observation, or reads trainable variables
            that are not among its `variables`.
    """
    with tf.GradientTape() as tape:
        if _takes_observation_only(network):
            result = (network(observation), network_state)
        else:
            _check_signature(network)
            result = network(observation, step_type=step_type, network_state=network_state)
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise ValueError(f"q_network must return (output, network_state), got {result!r}.")
    _check_owned(network, tape)
    output, rows = result[0], tf.nest.flatten(observation)[0].shape[:1]
    if isinstance(output, tuple | list) and all(hasattr(part, "shape") for part in output):
        return type(output)(_output(part, rows) for part in output), result[1]
    return _output(output, rows), result[1]


def variables(network: Any) -> tuple[tf.Variable, ...]:
    """The network's attribute `variables`; none if it has no such attribute."""
    return tuple(getattr(network, "variables", ()))


def _output(value: Any, rows: tf.TensorShape) -> tf.Tensor:
    """A part of the network's output as a tensor of real numbers with this number of rows."""
    try:
        tensor = tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"q_network gives {value!r}, expected a tensor of numbers.") from error
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer):
        raise TypeError(f"q_network gives {tensor.dtype.name}, expected real numbers.")
    if not tensor.shape[:1].is_compatible_with(rows):
        raise ValueError(f"q_network gives the shape {tuple(tensor.shape)} for {rows[0]} observations, not a row for each.")
    return tensor


def _check_owned(network: Any, tape: tf.GradientTape) -> None:
    """Refuses trainable variables that the network has read and does not have: `update` would leave them as they are."""
    owned = {id(variable.handle) for variable in variables(network)}
    others = [variable for variable in tape.watched_variables() if id(variable.handle) not in owned]
    if others:
        names = ", ".join(f"{each.name.split(':')[0]} {tuple(each.shape)} {each.dtype.name}" for each in others)
        raise ValueError(
            f"q_network reads variables that the policy would not have: {names}. `update` and a checkpoint would leave them "
            "out. Give a tf-keras model, or list them in the attribute `variables`, which a tf.Module has and a function can "
            f"be given: `q_network.variables = model.variables`. If they are of a layer of `tf.keras`: {KERAS3_REMEDY}"
        )


def _check_signature(network: Any) -> None:
    """Refuses a network that cannot be called with an observation, `step_type` and `network_state`."""
    try:
        signature = inspect.signature(network)
    except (TypeError, ValueError):  # Some callables do not tell.
        return
    try:
        signature.bind(None, step_type=None, network_state=None)
    except TypeError as error:
        raise TypeError(
            f"q_network={network!r} is called as q_network(observation, step_type=, network_state=) and returns (output, "
            f"network_state); its arguments are {signature}: {error}. Only a tf-keras model may take the observation alone."
        ) from None


def _held(path: str, network: Any) -> Iterator[tuple[str, Any]]:
    """The network and, if it is a module, what its attributes and those of modules in it lead to, each with its path."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [(path, network)]
    while waiting:
        path, value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield path, value
        if isinstance(value, tf.Module):
            # What tf-keras and TensorFlow keep for themselves leads to the same layers again.
            public = {name: item for name, item in vars(value).items() if not name.startswith(("_self_", "_tf_api"))}
            waiting.extend((f"{path}.{name}", item) for name, item in public.items())
        elif isinstance(value, Mapping):
            waiting.extend((f"{path}[{key!r}]", item) for key, item in value.items())
        elif isinstance(value, list | tuple):
            waiting.extend((f"{path}[{index}]", item) for index, item in enumerate(value))


def _takes_observation_only(network: Any) -> bool:
    """Whether the network is a tf-keras layer or model whose `call` has no argument `network_state`."""
    return isinstance(network, tf_keras.layers.Layer) and "network_state" not in inspect.signature(network.call).parameters
