"""What the layers of a network compute, as JSON: a checkpoint notes it, so that another network does not pass for the same."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from polyrl.models.same_function import function_difference

SHOWN = 8
"""Numbers of an array that are noted themselves."""

IGNORED = re.compile(r"name|(batch_)?(input_)?shape|\w*_initializer")
"""Entries of a layer's `get_config()` that do not change what it computes: variables are compared by name and shape."""

OPERATIONS = ("TFOpLambda", "SlicingOpLambda")
"""The layers that tf-keras makes of operations of TensorFlow on its symbolic inputs."""

Layers = list[dict[str, Any]]


def layer_configs(model: tf_keras.Model) -> Layers:
    """The class of each layer and its `get_config()`, with those of inner models, in the order of the layers; of an operation
    of TensorFlow also what it is given but tensors of the graph.

    Of a layer that has no `get_config` the class alone; so of a value in it that is not plain.
    """
    configs = []
    for layer in model.layers:
        config: dict[str, Any] = {"class": type(layer).__name__}
        if isinstance(layer, tf_keras.Model):
            config["layers"] = layer_configs(layer)
        elif not isinstance(layer, tf_keras.layers.Lambda):  # Whose function is bytecode.
            config |= _config(layer)
        if type(layer).__name__ in OPERATIONS:
            config["constants"] = [_constants([node.call_args, node.call_kwargs]) for node in layer.inbound_nodes]
        configs.append(config)
    return configs


def without_precision(layers: Any) -> Any:
    """`Layers` without what says in which precision they compute: their dtypes, and casts from one to another."""
    if isinstance(layers, dict):
        return {key: without_precision(value) for key, value in layers.items() if key != "dtype"}
    if isinstance(layers, list):
        return [without_precision(each) for each in layers if not (isinstance(each, dict) and each.get("function") == "cast")]
    return layers


def differences(there: Layers, now: Layers) -> list[str]:
    """How two networks differ, in words; empty if they do not."""
    if [each["class"] for each in there] != [each["class"] for each in now]:
        return [f"the layers {_classes(there)} there, {_classes(now)} now"]
    found = []
    for number, (before, after) in enumerate(zip(there, now, strict=True)):
        place = f"layer {number} ({after['class']}): "
        if "layers" in before and "layers" in after:
            found += [place + each for each in differences(before["layers"], after["layers"])]
        else:
            keys = [key for key in after if key in before and before[key] != after[key]]
            found += [f"{place}{key}={before[key]} there, {after[key]} now" for key in keys]
    return found


def lambda_difference(first: tf_keras.Model, second: tf_keras.Model) -> str | None:
    """In what the functions of the first two `Lambda` layers that differ do so; None if none differ, as far as can be seen."""
    pairs = zip(first.layers, second.layers, strict=False)
    functions = [(one.function, other.function) for one, other in pairs if _is_lambda(one) and _is_lambda(other)]
    return next((text for text in itertools.starmap(function_difference, functions) if text is not None), None)


def _is_lambda(layer: Any) -> bool:
    return isinstance(layer, tf_keras.layers.Lambda)


def _config(layer: tf_keras.layers.Layer) -> dict[str, Any]:
    try:
        config = json.loads(json.dumps(layer.get_config(), default=_plain))
    except Exception:  # A layer of a user's own may have none, or one that fails.
        return {}
    return _without_names(config)


def _plain(value: Any) -> Any:
    """What JSON does not know: arrays as lists, all else by its type alone, as an address is another one in each process."""
    return value.tolist() if hasattr(value, "tolist") else type(value).__name__


def _constants(arguments: Any) -> Any:
    """The arguments of an operation; large arrays by a checksum."""
    if isinstance(arguments, dict):
        return {key: _constants(value) for key, value in arguments.items() if key != "name"}
    if isinstance(arguments, (list, tuple)):
        return [_constants(value) for value in arguments]
    if isinstance(arguments, (np.ndarray, np.generic)) or (tf.is_tensor(arguments) and hasattr(arguments, "numpy")):
        array = np.asarray(arguments)
        return array.tolist() if array.size <= SHOWN else f"{array.shape} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"
    if arguments is None or isinstance(arguments, (bool, int, float, str)):
        return arguments
    # Of a tensor of the graph, as of anything else, the type alone.
    return str(arguments) if isinstance(arguments, (slice, tf.DType, tf.TensorShape)) else type(arguments).__name__


def _without_names(value: Any) -> Any:
    """Also inside: a layer of layers has their configurations in its own. A policy of precision is its name."""
    if isinstance(value, dict) and value.get("class_name") == "Policy":
        return value["config"]["name"]
    if isinstance(value, dict):
        return {key: _without_names(inner) for key, inner in value.items() if not IGNORED.fullmatch(key)}
    return [_without_names(inner) for inner in value] if isinstance(value, list) else value


def _classes(layers: Sequence[dict[str, Any]]) -> str:
    return ", ".join(each["class"] for each in layers)
