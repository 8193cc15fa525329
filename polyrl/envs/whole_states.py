"""Environments that can be saved in the middle of an episode, with all that their future depends on.

An environment, a wrapper, or a vector environment says that it can by an attribute beside the two methods of
`polyrl.envs.states`:

    checkpoint_state_is_whole = True

Then its `get_checkpoint_state` gives all that its next steps and resets depend on, apart from the layers inside of it and from
`np_random`, which is saved with it. Where every layer of every environment says so, a resumed run continues in mid-episode; of
gymnasium's wrappers those in `WRAPPERS` and `VECTOR_WRAPPERS` do.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import wrappers
from gymnasium.vector import SyncVectorEnv, VectorEnv
from gymnasium.wrappers import vector as vector_wrappers

from polyrl.envs.frame_stack import FrameStack
from polyrl.envs.lockstep import LockstepVectorEnv
from polyrl.envs.processes import ProcessVectorEnv
from polyrl.envs.states import from_each, give, innermost, layers, state_of, to_each, vector_layers

COUNTS = ("episode_count", "episode_returns", "episode_lengths")

WRAPPERS: Mapping[type, tuple[str, ...]] = {
    **dict.fromkeys((wrappers.OrderEnforcing, wrappers.PassiveEnvChecker), ()),
    **dict.fromkeys((wrappers.ClipAction, wrappers.RescaleAction, wrappers.ClipReward), ()),
    **dict.fromkeys((wrappers.DtypeObservation, wrappers.FlattenObservation, wrappers.ReshapeObservation), ()),
    **dict.fromkeys((wrappers.RescaleObservation, wrappers.ResizeObservation, wrappers.GrayscaleObservation), ()),
    **dict.fromkeys((wrappers.NormalizeObservation, wrappers.NormalizeReward), ()),
    wrappers.TimeLimit: ("_elapsed_steps",),
    wrappers.RecordEpisodeStatistics: COUNTS,
}
"""gymnasium's wrappers whose state is known, with the attributes that hold it in addition to what `state_of` gives."""

VECTOR_WRAPPERS: Mapping[type, tuple[str, ...]] = {
    **dict.fromkeys((LockstepVectorEnv, ProcessVectorEnv, SyncVectorEnv), ()),
    FrameStack: ("_stacks",),
    vector_wrappers.RecordEpisodeStatistics: (*COUNTS, "prev_dones"),
}
"""The same for vector environments and their wrappers."""


def are_whole(env: VectorEnv) -> bool:
    """Whether all layers of a vector environment and of its environments can be saved in mid-episode.

    Raises:
        TypeError: if one says so and has no `get_checkpoint_state`.
    """
    if not all(_is_whole(layer, VECTOR_WRAPPERS) for layer, _ in vector_layers(env)):
        return False
    if getattr(innermost(env), "restarts", 0):  # One that fails and is made again is in another state.
        return False
    return all(from_each(env, "layers_are_whole", is_whole))


def is_whole(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether all layers of one environment can be saved in mid-episode."""
    return all(_is_whole(layer, WRAPPERS) for layer, _ in layers(env))


def whole_states(env: VectorEnv) -> dict[str, Any]:
    """All that the next steps of environments that `are_whole` depend on."""
    envs = from_each(env, "get_whole_state", get_whole_state)
    return {"vector": {name: _whole(layer, VECTOR_WRAPPERS) for layer, name in vector_layers(env)}, "envs": envs}


def give_whole_states(env: VectorEnv, states: Mapping[str, Any]) -> None:
    """Gives back what `whole_states` gave, to environments that have been reset.

    Raises:
        ValueError: if they have other layers.
    """
    there, here = _names(states), _names(whole_states(env))
    if there != here:
        raise ValueError(f"the environments have the layers {here}, and had {there}")
    for layer, name in vector_layers(env):
        _give_whole(layer, states["vector"][name], VECTOR_WRAPPERS)
    to_each(env, "set_whole_state", set_whole_state, states["envs"])


def get_whole_state(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    """The part of `whole_states` of one environment and its wrappers."""
    return {name: _whole(layer, WRAPPERS) for layer, name in layers(env)}


def set_whole_state(env: gymnasium.Env[Any, Any], states: Mapping[str, Any]) -> None:
    """Gives it back."""
    for layer, name in layers(env):
        _give_whole(layer, states[name], WRAPPERS)


def _names(states: Mapping[str, Any]) -> list[list[str]]:
    return [list(part) for part in (states["vector"], *states["envs"])]


def _is_whole(layer: Any, known: Mapping[type, Any]) -> bool:
    kind = type(layer)
    # A subclass of a known one may have a state of its own.
    if kind in known or "KEEPS_NO_STATE" in vars(kind):
        return True
    if getattr(kind, "checkpoint_state_is_whole", False) is not True:
        return False
    if not callable(getattr(kind, "get_checkpoint_state", None)):
        raise TypeError(
            f"{kind.__name__} has checkpoint_state_is_whole=True and no get_checkpoint_state, so its state cannot be saved; "
            "define get_checkpoint_state and set_checkpoint_state."
        )
    return True


def _whole(layer: Any, known: Mapping[type, tuple[str, ...]]) -> dict[str, Any]:
    random = vars(layer).get("_np_random")
    return {
        "state": state_of(layer),
        "attributes": {name: copy.copy(getattr(layer, name)) for name in known.get(type(layer), ())},
        "random": None if random is None else random.bit_generator.state,
    }


def _give_whole(layer: Any, saved: Mapping[str, Any], known: Mapping[type, tuple[str, ...]]) -> None:
    give(layer, saved["state"])
    for name in known.get(type(layer), ()):
        setattr(layer, name, saved["attributes"][name])
    if saved["random"] is not None:
        generator = np.random.Generator(getattr(np.random, saved["random"]["bit_generator"])())
        generator.bit_generator.state = saved["random"]
        layer._np_random = generator
