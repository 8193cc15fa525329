"""What the layers of a network compute, as JSON: a checkpoint notes it, so that another network does not pass for the same."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import tf_keras

IGNORED = re.compile(r"name|(batch_)?(input_)?shape|\w*_initializer")
"""Entries of a layer's `get_config()` that do not change what it computes: variables are compared by name and shape."""

Layers = list[dict[str, Any]]


def layer_configs(model: tf_keras.Model) -> Layers:
    """The class of each layer and its `get_config()`, with those of inner models, in the order of the layers.

    Of a layer that has no `get_config` the class alone; so of a value in it that is not plain.
    """
    configs = []
    for layer in model.layers:
        config: dict[str, Any] = {"class": type(layer).__name__}
        if isinstance(layer, tf_keras.Model):
            config["layers"] = layer_configs(layer)
        elif not isinstance(layer, tf_keras.layers.Lambda):  # Whose function is bytecode.
            config |= _config(layer)
        configs.append(config)
    return configs


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


def _config(layer: tf_keras.layers.Layer) -> dict[str, Any]:
    try:
        config = json.loads(json.dumps(layer.get_config(), default=_plain))
    except Exception:  # A layer of a user's own may have none, or one that fails.
        return {}
    return _without_names(config)


def _plain(value: Any) -> Any:
    """What JSON does not know: arrays as lists, all else by its type alone, as an address is another one in each process."""
    return value.tolist() if hasattr(value, "tolist") else type(value).__name__


def _without_names(value: Any) -> Any:
    """Also inside: a layer of layers has their configurations in its own."""
    if isinstance(value, dict):
        return {key: _without_names(inner) for key, inner in value.items() if not IGNORED.fullmatch(key)}
    return [_without_names(inner) for inner in value] if isinstance(value, list) else value


def _classes(layers: Sequence[dict[str, Any]]) -> str:
    return ", ".join(each["class"] for each in layers)
