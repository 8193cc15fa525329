"""A checkpoint's variables by name, without its model; and weights of another run to begin with."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from polyrl.errors import CheckpointMismatchError
from polyrl.estimators.checkpoints.files import STATE, found_in, read_state
from polyrl.estimators.checkpoints.manager import CheckpointManager
from polyrl.estimators.checkpoints.params import FILE as PARAMS_FILE
from polyrl.models.q_network import QNetwork
from polyrl.models.scope import Scope
from polyrl.paths import literal, resolved
from polyrl.validation import explains, suggestion

COUNTERS = ("global_step", "global_timestep", "global_episode")
_PARTS, _VALUE = "scope/parts/", "/.ATTRIBUTES/VARIABLE_VALUE"


class CheckpointVariables:
    """The variables of a checkpoint's networks by `<model>/<network>/<label>`, as `DQN/online/dense/kernel`, and the counters.

    Args:
        checkpoint: its directory.
    """

    def __init__(self, checkpoint: Path):
        self.checkpoint = checkpoint
        state = read_state(checkpoint)
        self.shapes: dict[str, tuple[int, ...]] = {
            **{name: () for name in COUNTERS},
            **{name: tuple(shape) for name, shape in state["variables"].items()},
        }
        self._reader = tf.train.load_checkpoint(str(literal(checkpoint) / "variables"))
        graph = TrackableObjectGraph.FromString(self._reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        self._keys = {name: f"scope/{name}{_VALUE}" for name in COUNTERS}
        self._keys |= _keys(state.get("variable_names", {}), [held for node in graph.nodes for held in node.attributes])

    def value(self, name: str) -> np.ndarray:
        """The value of one; a ValueError with the nearest name if there is none, a TypeError for what is no name."""
        if not isinstance(name, str):
            raise TypeError(f"name={name!r} must be the name of a variable; get_variable_values takes a list of them.")
        if name not in self.shapes:
            # Of two networks with the same layers the online one is meant.
            likely = [known for known in self.shapes if known.endswith(f"/online/{name}")]
            hint = f" Did you mean {likely[0]!r}?" if likely else suggestion(name, self.shapes)
            raise ValueError(f"{self.checkpoint} has no variable {name!r}.{hint}")
        if name not in self._keys:
            raise ValueError(
                f"{self.checkpoint}: {name!r} cannot be told from another variable by its name in TensorFlow's file, or the "
                "file is of an earlier version of polyrl. Give its layer a name of its own, or read it with its model."
            )
        return self._reader.get_tensor(self._keys[name])


@explains({})
@dataclasses.dataclass(frozen=True)
class WarmStartSettings:
    """Which weights of another run's checkpoint a new run begins with.

    Args:
        ckpt_to_initialize_from: the checkpoint's directory, or the run's: of its checkpoints the best, or the newest.
        vars_to_warm_start: a regular expression that a variable's name has to match, from the beginning, or a list of them, of
            which it has to match one: the names are `<model>/<label>`, as `DQN/dense/kernel` or `DQN/advantage/bias`; those of
            `Agent.get_variable_names`, as `DQN/online/dense/kernel`, are the same.
        var_name_to_prev_var_name: what a variable is called in the checkpoint, if its name there is another one.
    """

    ckpt_to_initialize_from: str | os.PathLike[str]
    vars_to_warm_start: str | Sequence[str] = ".*"
    var_name_to_prev_var_name: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            if not isinstance(pattern, str):
                raise TypeError(
                    f"vars_to_warm_start={self.vars_to_warm_start!r} must be a regular expression, or a list of them."
                )
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"vars_to_warm_start: {pattern!r} is not a regular expression: {error}.") from error

    @property
    def patterns(self) -> tuple[Any, ...]:
        """The regular expressions."""
        given = self.vars_to_warm_start
        return tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)

    def without_effect(self, model_dir: Path) -> str:
        """A line that says why nothing is read, where a run is resumed."""
        return (
            f"The run in {model_dir} goes on with its own weights; those of {self.ckpt_to_initialize_from} are for a new run."
        )


def warm_start_settings(given: str | os.PathLike[str] | WarmStartSettings | None) -> WarmStartSettings | None:
    """Settings of a path alone; a TypeError for what is neither a path nor settings."""
    if given is None or isinstance(given, WarmStartSettings):
        return given
    return WarmStartSettings(resolved("warm_start_from", given))


def warm_start(scope: Scope, settings: WarmStartSettings) -> str:
    """Gives the online networks a checkpoint's values, and the target networks those of the online ones.

    Returns:
        A line that says what was done.

    Raises:
        ValueError: if no variable matches one of the patterns, or the checkpoint lacks one.
        CheckpointMismatchError: if one has another shape there. Then nothing has been changed.
    """
    variables = CheckpointVariables(_checkpoint(resolved("ckpt_to_initialize_from", settings.ckpt_to_initialize_from)))
    networks = {part.removesuffix("/online"): each for part, each in scope.parts.items() if _is_online(part, each)}
    every = {
        f"{model}/{label}": variable
        for model, network in networks.items()
        for label, variable in network.labelled_variables().items()
    }
    _check_names(settings, every)
    wanted = {name: each for name, each in every.items() if any(_matches(pattern, name) for pattern in settings.patterns)}
    for name, variable in wanted.items():
        before = _there(name, settings)
        if before not in variables.shapes:
            hint = f"{suggestion(before, variables.shapes)} {_those_that_fit(variables, every, settings)}"
            raise ValueError(f"{variables.checkpoint} has no variable {before!r}.{hint}")
        shape = variables.shapes[before]
        if shape != tuple(variable.shape):
            raise CheckpointMismatchError(
                f"{variables.checkpoint}: {_short(before)!r} has the shape {shape} there, {name!r} "
                f"{tuple(variable.shape)} now. {_those_that_fit(variables, every, settings)}"
            )
    found = {name: (variable, variables.value(_there(name, settings))) for name, variable in wanted.items()}
    for variable, value in found.values():
        variable.assign(value)
    for model, network in networks.items():
        target: Any = scope.parts.get(f"{model}/target")
        if isinstance(target, QNetwork):
            for variable, value in zip(target.model.variables, network.model.variables, strict=True):
                variable.assign(value)
    return f"Warm start from {variables.checkpoint}: {', '.join(found)}."


def _check_names(settings: WarmStartSettings, known: Collection[str]) -> None:
    """A ValueError for a name that is not known, or a pattern that matches none: its weights would stay random in silence."""
    for name in settings.var_name_to_prev_var_name:
        if _short(name) not in known:
            raise ValueError(f"var_name_to_prev_var_name: there is no variable {name!r}.{suggestion(name, known)}")
    for pattern in settings.patterns:
        if not any(_matches(pattern, name) for name in known):
            which = "" if len(settings.patterns) == 1 else f": {pattern!r}"
            raise ValueError(f"vars_to_warm_start={settings.vars_to_warm_start!r}{which} matches none of {', '.join(known)}.")


def _there(name: str, settings: WarmStartSettings) -> str:
    """What the checkpoint calls a variable of an online network, here `<model>/<label>`."""
    before = {_short(now): _short(then) for now, then in settings.var_name_to_prev_var_name.items()}
    return _long(before.get(name, name))


def _matches(pattern: str, name: str) -> bool:
    """Whether a pattern matches the name of a variable of an online network, as it is here or as checkpoints call it."""
    return re.match(pattern, name) is not None or re.match(pattern, _long(name)) is not None


def _long(name: str) -> str:
    """`<model>/online/<label>` of `<model>/<label>`."""
    return "{}/online/{}".format(*name.split("/", 1))


def _short(name: str) -> str:
    return name.replace("/online/", "/", 1)


def _those_that_fit(variables: CheckpointVariables, every: Mapping[str, tf.Variable], settings: WarmStartSettings) -> str:
    """How to take the layers of which all variables have the same shapes in the checkpoint, as a sentence."""
    fits: dict[str, bool] = {}
    for name, variable in every.items():
        layer = f"{name.rpartition('/')[0]}/"
        same = variables.shapes.get(_there(name, settings)) == tuple(variable.shape)
        fits[layer] = fits.get(layer, True) and same
    layers = [layer for layer, fit in fits.items() if fit]
    if not layers:
        file = variables.checkpoint.parent.parent / PARAMS_FILE
        of_run = f" The settings of that run, as those of its network, are in {file}." if file.exists() else ""
        return f"No layer has the same shapes there.{of_run}"
    return f"Take what fits: vars_to_warm_start={layers} (on the command line --warm_start_vars={','.join(layers)})."


def _checkpoint(path: Path) -> Path:
    """The checkpoint itself, or that of a run's directory: the best, or the newest; or that of the directory of either."""
    if (path / STATE).exists():
        return path
    is_one_of_two = path.name in ("best", "checkpoints") and bool(found_in(path))
    checkpoints = CheckpointManager(path.parent if is_one_of_two else path, keep_max=1)
    newest = path.name == "checkpoints" if is_one_of_two else checkpoints.best() is None
    return checkpoints.readable("latest" if newest else "best")


def _is_online(part: str, thing: Any) -> bool:
    return part.endswith("/online") and isinstance(thing, QNetwork)


def _keys(names: Mapping[str, str], saved: Sequence[Any]) -> dict[str, str]:
    """Under which keys variables are in TensorFlow's file, as far as that can be known.

    Args:
        names: what TensorFlow calls each variable, by `<model>/<network>/<label>`, in the order of the layers.
        saved: what the file holds; `full_name` of a variable there is the same.
    """
    noted: dict[tuple[str, str], list[str]] = {}
    for label, name in names.items():
        noted.setdefault(("/".join(label.split("/")[:2]), name), []).append(label)
    found: dict[str, str] = {}
    for (part, name), labels in noted.items():
        prefix = f"{_PARTS}{part.replace('/', '.S')}/"
        keys = [held.checkpoint_key for held in saved if held.full_name == name and held.checkpoint_key.startswith(prefix)]
        # Several of one name are in the order of their layers, if they are equally deep in the layers.
        if len(keys) == len(labels) and len({key.count("/") for key in keys}) == 1:
            found |= zip(labels, keys, strict=True)
    return found
