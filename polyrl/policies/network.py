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
                f"{place}={value!r} is of Keras 3: its variables would not be those of the policy. {KERAS3_REMEDY}"
            )
    spec = getattr(network, "state_spec", ())
    if _takes_observation_only(network) and not is_empty(spec):
        raise ValueError(f"q_network={network!r} has a state_spec, but its call has no argument network_state.")
    return spec


def call(network: Any, observation: Any, step_type: Any, network_state: Any) -> tuple[Any, Any]:
    """The network's output and its next state.

    Raises:
        ValueError: if the network does not return a pair.
    """
    if _takes_observation_only(network):
        return network(observation), network_state
    result = network(observation, step_type=step_type, network_state=network_state)
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise ValueError(f"q_network must return (output, network_state), got {result!r}.")
    return result[0], result[1]


def variables(network: Any) -> tuple[tf.Variable, ...]:
    """The network's attribute `variables`; none if it has no such attribute."""
    return tuple(getattr(network, "variables", ()))


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
