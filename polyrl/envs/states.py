"""What environments and wrappers keep from episode to episode, in a checkpoint: running statistics, a curriculum.

An environment, a wrapper, or a vector environment takes part that has these two methods:

    def get_checkpoint_state(self) -> dict[str, Any]:    numbers, strings, NumPy arrays, and lists and dicts of them
    def set_checkpoint_state(self, state: dict[str, Any]) -> None:

The state is given back to a resumed run before it resets the environment; for those that need not be reset, see
`polyrl.envs.whole_states`. The statistics of gymnasium's `NormalizeObservation` and `NormalizeReward` take part as they are.
Nothing executable is written or read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

STATISTICS = ("obs_rms", "return_rms")
"""Attributes of gymnasium's wrappers: running means and variances."""

SUMS = ("discounted_reward", "accumulated_reward")
"""Attributes of gymnasium's wrappers: arrays kept from step to step."""

STATELESS = frozenset(
    f"minigrid.wrappers.{name}"
    for name in (
        *("ImgObsWrapper", "FullyObsWrapper", "OneHotPartialObsWrapper", "RGBImgObsWrapper", "RGBImgPartialObsWrapper"),
        *("SymbolicObsWrapper", "ViewSizeWrapper"),
    )
)
"""Wrappers of packages that keep nothing: each observation follows from the environment as it is."""

_ARRAY = "__array__"


def vector_states(env: VectorEnv) -> dict[str, Any]:
    """What the environments and their wrappers keep: of the vector environment's layers, and of each environment's.

    Raises:
        TypeError: if one of the two methods is there without the other.
    """
    vector = {name: state for layer, name in vector_layers(env) if (state := state_of(layer)) is not None}
    envs = from_each(env, "get_layer_states", get_states)
    return {"vector": vector, "envs": envs if any(envs) else []}


def give_vector_states(env: VectorEnv, states: Mapping[str, Any]) -> None:
    """Gives back what `vector_states` gave, to environments with the same wrappers."""
    for layer, name in vector_layers(env):
        give(layer, states["vector"].get(name))
    to_each(env, "set_layer_states", set_states, states["envs"])


def write_values(file: Path, values: Mapping[str, Any]) -> None:
    """Writes numbers, strings, NumPy arrays, and lists and dicts of them.

    Raises:
        TypeError: for anything else, with its place.
    """
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(_plain("", values, arrays))
    np.savez(file, json=np.array(text), **arrays)  # type: ignore[arg-type]


def read_values(file: Path) -> dict[str, Any]:
    """Reads what `write_values` wrote."""
    with np.load(file, allow_pickle=False) as arrays:
        return _with_arrays(json.loads(str(arrays["json"])), arrays)


def get_states(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    """What one environment and its wrappers keep, by their places from the outermost and their classes."""
    found = {name: state_of(layer) for layer, name in layers(env)}
    return {name: state for name, state in found.items() if state is not None}


def running_statistics(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    """Those of gymnasium's wrappers alone, as `set_states` takes them."""
    own = [(layer, name) for layer, name in layers(env) if not callable(getattr(type(layer), "get_checkpoint_state", None))]
    found = {name: state_of(layer) for layer, name in own}
    return {name: state for name, state in found.items() if state is not None}


def set_states(env: gymnasium.Env[Any, Any], states: Mapping[str, Any]) -> None:
    """Gives back what `get_states` gave."""
    for layer, name in layers(env):
        give(layer, states.get(name))


def from_each(env: VectorEnv, method: str, own: Callable[[Any], Any]) -> list[Any]:
    """What `own` gives for each environment; in another process it is requested by the name of a method."""
    inner: Any = innermost(env)
    # Those of a ProcessVectorEnv answer for all of their layers.
    if getattr(inner, "answers_for_layers", False):
        return list(inner.call(method))
    return [own(one) for one in getattr(inner, "envs", ())]


def to_each(env: VectorEnv, method: str, own: Callable[[Any, Any], None], states: Sequence[Any]) -> None:
    """Gives each environment its own of the states, by `own` or a method as above."""
    inner: Any = innermost(env)
    if getattr(inner, "answers_for_layers", False):
        inner.call(method, states)
        return
    for one, saved in zip(getattr(inner, "envs", ()), states, strict=False):
        own(one, saved)


def innermost(env: VectorEnv) -> VectorEnv:
    """A vector environment without its wrappers."""
    while isinstance(env, VectorWrapper):
        env = env.env
    return env


def vector_layers(env: VectorEnv) -> Iterator[tuple[Any, str]]:
    """A vector environment's layers from the outermost, each with its name: its place and its class."""
    place = 0
    while True:
        yield env, f"{place}/{type(env).__name__}"
        if not isinstance(env, VectorWrapper):
            return
        env, place = env.env, place + 1


def layers(env: gymnasium.Env[Any, Any]) -> Iterator[tuple[Any, str]]:
    """The layers of a single environment from the outermost, each with its name: its place and its class."""
    place = 0
    while True:
        yield env, f"{place}/{type(env).__name__}"
        if not isinstance(env, gymnasium.Wrapper):
            return
        env, place = env.env, place + 1


def may_keep(env: VectorEnv) -> list[str]:
    """Names of wrappers of which it is not known whether they keep something from episode to episode: a user's own that lack
    the two methods. gymnasium's are known.
    """
    found = {name for names in from_each(env, "unknown_layers", unknown_layers) for name in names}
    own = (layer for layer, _ in vector_layers(env) if isinstance(layer, VectorWrapper) and _is_unknown(layer))
    return sorted(found | {type(layer).__name__ for layer in own})


def unknown_layers(env: gymnasium.Env[Any, Any]) -> list[str]:
    """The part of `may_keep` of one environment."""
    return [type(layer).__name__ for layer, _ in layers(env) if isinstance(layer, gymnasium.Wrapper) and _is_unknown(layer)]


def _is_unknown(layer: Any) -> bool:
    kind = type(layer)
    known = kind.__module__.split(".")[0] in ("gymnasium", "polyrl") or f"{kind.__module__}.{kind.__qualname__}" in STATELESS
    return not (known or "KEEPS_NO_STATE" in vars(kind) or callable(getattr(kind, "get_checkpoint_state", None)))


def state_of(layer: Any) -> Any:
    """What one layer keeps from episode to episode; None if that is nothing that is known.

    Raises:
        TypeError: if it has one of the two methods without the other.
    """
    kind = type(layer)
    gives, takes = (callable(getattr(kind, f"{verb}_checkpoint_state", None)) for verb in ("get", "set"))
    if gives is not takes:
        have, lack = ("get", "set") if gives else ("set", "get")
        raise TypeError(f"{kind.__name__} defines {have}_checkpoint_state without {lack}_checkpoint_state; define both.")
    if gives:
        return layer.get_checkpoint_state()
    own = vars(layer)
    found = {name: {key: getattr(own[name], key) for key in ("mean", "var", "count")} for name in STATISTICS if name in own}
    return {**found, **{name: own[name] for name in SUMS if name in own}} if found else None


def give(layer: Any, state: Any) -> None:
    """Gives one layer back what `state_of` gave."""
    if state is None:
        return
    if callable(getattr(type(layer), "set_checkpoint_state", None)):
        layer.set_checkpoint_state(state)
        return
    for name, value in state.items():
        if name in STATISTICS:
            for key, part in value.items():
                setattr(getattr(layer, name), key, part)
        else:
            setattr(layer, name, value)


def _plain(place: str, value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The value as JSON, with its arrays put into `arrays`."""
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(f"{place}/{key}", item, arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(f"{place}/{index}", item, arrays) for index, item in enumerate(value)]
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufcSU":
        arrays[f"array_{len(arrays)}"] = np.asarray(value)
        return {_ARRAY: f"array_{len(arrays) - 1}", "scalar": isinstance(value, np.generic)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"An environment's checkpoint state holds a {type(value).__name__} at {place!r}; expected numbers, strings, NumPy "
        "arrays of them, and lists and dicts with strings as keys."
    )


def _with_arrays(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        if _ARRAY in value:
            array = arrays[value[_ARRAY]]
            return array[()] if value["scalar"] else array
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    return [_with_arrays(item, arrays) for item in value] if isinstance(value, list) else value
