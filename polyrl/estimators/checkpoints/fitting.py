"""Whether a checkpoint can hold a run, and fits the run that reads it: the shapes of its networks, and its optimizers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tf_keras.optimizers import Optimizer

from polyrl.errors import CheckpointMismatchError, gist
from polyrl.models.layer_configs import differences, layer_configs, without_precision
from polyrl.models.q_network import QNetwork
from polyrl.models.scope import Scope

_SAME = "Use the same graph_fn, or another model_dir."


def network_variables(scope: Scope) -> dict[str, tf.Variable]:
    """The variables of all networks by `<part>/<label>`."""
    return {
        f"{part}/{label}": variable
        for part, network in scope.parts.items()
        if isinstance(network, QNetwork)
        for label, variable in network.labelled_variables().items()
    }


def described(scope: Scope) -> dict[str, Any]:
    """What a checkpoint says of networks and optimizers, as JSON: the variables' shapes and TensorFlow's names for them, by
    which they are found in its file; the layers; the configurations."""
    variables = network_variables(scope)
    shapes = {name: list(variable.shape) for name, variable in variables.items()}
    names = {name: variable.name.partition(":")[0] for name, variable in variables.items()}
    return {
        "variables": shapes,
        "variable_names": names,
        "layers": _network_layers(scope),
        "optimizers": optimizer_configs(scope),
    }


def _network_layers(scope: Scope) -> dict[str, Any]:
    return {part: layer_configs(each.model) for part, each in scope.parts.items() if isinstance(each, QNetwork)}


def optimizer_configs(scope: Scope) -> dict[str, Any]:
    """The configuration of each optimizer, as JSON gives it back."""
    optimizers = {part: optimizer for part, optimizer in scope.parts.items() if isinstance(optimizer, Optimizer)}
    configs = {part: {"class": type(o).__name__, **o.get_config()} for part, o in optimizers.items()}
    return json.loads(json.dumps(configs, default=lambda value: getattr(value, "tolist", lambda: str(value))()))


def check_architecture(path: Path, state: Mapping[str, Any], scope: Scope, precisely: bool = True) -> None:
    """Refuses a checkpoint whose networks' variables have other names or shapes than those that exist now, whose layers
    computed something else, or whose weights meant something else; if `precisely`, also whose layers had another precision.

    Raises:
        CheckpointMismatchError: names the first difference.
    """
    _check_arguments(path, state, scope)
    saved = {name: tuple(shape) for name, shape in state["variables"].items()}
    parts = {part for part, network in scope.parts.items() if isinstance(network, QNetwork)}
    wanted = {name: tuple(variable.shape) for name, variable in network_variables(scope).items()}
    for name, shape in wanted.items():
        if name not in saved:
            raise CheckpointMismatchError(
                f"{path} has no variable {name!r}, which the model now has with shape {shape}. {_SAME}"
            )
        if saved[name] != shape:
            raise CheckpointMismatchError(
                f"{path} was written by another architecture: variable {name!r} has shape {saved[name]} there and "
                f"{shape} in the model now. {_SAME}"
            )
    for name, shape in saved.items():
        if name not in wanted and any(name.startswith(f"{part}/") for part in parts):
            raise CheckpointMismatchError(
                f"{path} has a variable {name!r} of shape {shape}, which the model now lacks. {_SAME}"
            )
    before = state.get("layers", {})
    for part, layers in _network_layers(scope).items():
        compared = [before.get(part, layers), layers]
        changed = differences(*(compared if precisely else map(without_precision, compared)))
        if changed:
            raise CheckpointMismatchError(f"{path} was trained with another network, {part}: {'; '.join(changed)}. {_SAME}")


def _check_arguments(path: Path, state: Mapping[str, Any], scope: Scope) -> None:
    for name, shared in scope.shared().items():
        before, now = state.get("models", {}).get(name, {}), shared.of_the_weights()
        changed = [f"{key}={before[key]} there, {now[key]} now" for key in now if key in before and before[key] != now[key]]
        if changed:
            raise CheckpointMismatchError(
                f"{path} was trained with other arguments of the model {name!r}: {'; '.join(changed)}. Use the same "
                "arguments, or another model_dir."
            )


def check_optimizers(path: Path, state: Mapping[str, Any], scope: Scope) -> None:
    """Refuses a checkpoint that was trained with other optimizers.

    Raises:
        CheckpointMismatchError: shows each difference.
    """
    for name, config in optimizer_configs(scope).items():
        saved = state["optimizers"].get(name, {})
        changed = [f"{key}: {saved.get(key)} there, {value} now" for key, value in config.items() if saved.get(key) != value]
        if changed:
            raise CheckpointMismatchError(
                f"{path} was trained with another optimizer, {name}: {'; '.join(changed)}. Use the same one, or another "
                "model_dir."
            )


def check_can_be_saved(scope: Scope, memory: tf.Module) -> None:
    """Refuses what no checkpoint can hold, as TensorFlow would at the first one.

    Raises:
        ValueError: if an object in them cannot be saved: a layer's attribute that is a dict of layers with keys other than
            strings, or a list or dict that is changed in ways that TensorFlow does not follow.
    """
    for name, root in (*scope.parts.items(), ("memory", memory)):
        if isinstance(root, tf.Module):
            try:
                tf.train.TrackableView(root).descendants()
            except ValueError as error:
                raise ValueError(
                    f"{name!r} cannot be written to a checkpoint: {gist(error).split(' (a ')[0]}. Give a dict of layers "
                    "strings as keys, and leave lists and dicts of layers as they were set."
                ) from error
