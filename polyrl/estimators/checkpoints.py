"""Checkpoints: one directory each, which appears complete or not at all."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
from tf_keras.optimizers import Optimizer

from polyrl.errors import CheckpointMismatchError, NonFiniteError, NotTrainedError, gist
from polyrl.models.q_network import QNetwork
from polyrl.models.scope import Scope
from polyrl.paths import literal, resolved, resolved_directory

T = TypeVar("T")

logger = logging.getLogger("polyrl")

_NAME = re.compile(r"^ckpt-(\d+)(?:-(\d+))?$")
_STATE = "state.json"
_VARIABLES = "variables"


class CheckpointManager:
    """Writes, lists, prunes and reads the checkpoints of a `model_dir`.

        model_dir/checkpoints/ckpt-<timestep>/   everything, to resume from: the newest `keep_max`
        model_dir/best/ckpt-<timestep>/          the models alone, of the best evaluation so far

    Each holds TensorFlow's files and `state.json` (counters, hooks' states, shapes, the score). It is written under another
    name first and renamed when complete, so that a crash leaves the older ones as they were. Timesteps are environment steps;
    before the first of them, in pre-training, the updates follow: `ckpt-<timestep>-<updates>`.
    """

    def __init__(self, model_dir: str | os.PathLike[str], keep_max: int):
        self.model_dir = resolved_directory("model_dir", model_dir)
        self._keep_max = keep_max

    @property
    def directory(self) -> Path:
        """Where the checkpoints to resume from lie."""
        return self.model_dir / "checkpoints"

    @property
    def best_directory(self) -> Path:
        """Where the best one lies."""
        return self.model_dir / "best"

    def latest(self) -> Path | None:
        """The newest checkpoint, or None."""
        return next(reversed(_checkpoints(self.directory)), None)

    def best(self) -> Path | None:
        """The best checkpoint by evaluation, or None."""
        return next(reversed(_checkpoints(self.best_directory)), None)

    def best_score(self) -> float | None:
        """The score the best checkpoint was kept for, or None."""
        path = self.best()
        return None if path is None else float(read_state(path)["score"])

    def save(self, scope: Scope, memory: tf.Module, state: Mapping[str, Any]) -> Path:
        """Writes everything; returns the checkpoint's directory. Older ones are pruned afterwards."""
        path = self._write(self.directory, tf.train.Checkpoint(scope=scope, memory=memory), scope, state)
        for old in _checkpoints(self.directory)[: -self._keep_max]:
            _remove(old)
        return path

    def save_best(self, scope: Scope, state: Mapping[str, Any], score: float) -> Path:
        """Writes the models alone as the best so far, in place of the one before."""
        path = self._write(
            self.best_directory, tf.train.Checkpoint(scope=scope), scope, {**state, "score": score}, replace=True
        )
        for old in _checkpoints(self.best_directory):
            if old != path:
                _remove(old)
        return path

    def reopen(self) -> None:
        """Notes in the newest checkpoint that the run which ended with it has been resumed."""
        path = self.latest()
        state = {} if path is None else read_state(path)
        if path is not None and (state.get("ended") is not None or state.get("spent", False)):
            _update_state(path, {"ended": None, "spent": False})

    def restore(self, path: Path, scope: Scope, memory: tf.Module) -> dict[str, Any]:
        """Reads everything back into variables that exist already; returns `state.json`.

        Raises:
            CheckpointMismatchError: if the checkpoint holds another architecture, or other parts.
        """
        state = _checked_state(path, scope)
        for name, config in _optimizers(scope).items():
            saved = state["optimizers"].get(name, {})
            changed = [
                f"{key}: {saved.get(key)} there, {value} now" for key, value in config.items() if saved.get(key) != value
            ]
            if changed:
                raise CheckpointMismatchError(
                    f"{path} was trained with another optimizer, {name}: {'; '.join(changed)}. Use the same one, or another "
                    "model_dir."
                )
        try:
            tf.train.Checkpoint(scope=scope, memory=memory).read(str(literal(path) / _VARIABLES)).assert_consumed()
        except (AssertionError, ValueError) as error:
            raise CheckpointMismatchError(
                f"{path} does not fit this run: its optimizer or its memory differs from the one configured now. "
                f"Use the arguments it was trained with, or another model_dir. ({error})"
            ) from error
        return state

    @staticmethod
    def restore_models(path: Path, scope: Scope) -> dict[str, Any]:
        """Reads the models alone, for evaluation and prediction; returns `state.json`.

        Raises:
            CheckpointMismatchError: if the checkpoint holds another architecture.
        """
        state = _checked_state(path, scope)
        status = tf.train.Checkpoint(scope=scope).read(str(literal(path) / _VARIABLES))
        status.assert_existing_objects_matched().expect_partial()
        return state

    def find(self, which: str | os.PathLike[str] | None) -> Path:
        """The checkpoint meant by None or `'latest'`, `'best'`, or a path.

        Raises:
            NotTrainedError: if there is none.
        """
        if which is None or which == "latest":
            found = self.latest()
        elif which == "best":
            found = self.best()
        else:
            found = resolved("checkpoint", which)
            if not (found / _STATE).is_file():
                raise NotTrainedError(f"{found} is not a checkpoint; use 'latest', 'best', or a directory ckpt-<timestep>.")
        if found is None:
            where = f"in model_dir={str(self.model_dir)!r}"
            if which != "best" or self.latest() is None:
                raise NotTrainedError(f"There is no {'best ' if which == 'best' else ''}checkpoint {where}. Train first.")
            raise NotTrainedError(
                f"There is no best checkpoint {where}: no evaluation has taken place while it was trained. Use 'latest', or "
                "train on with evaluations that are due within the budget."
            )
        return found

    def reading(self, which: str | os.PathLike[str] | None, read: Callable[[Path], T]) -> T:
        """What `read(path)` returns for the checkpoint that is meant, see `find`.

        A trainer may prune the checkpoint that is being read: then the next one takes its place.

        Raises:
            NotTrainedError: if there is none, or the path that was named is gone.
        """
        while True:
            path = self.find(which)
            try:
                return read(path)
            except (OSError, tf.errors.OpError, ValueError):
                if (path / _STATE).is_file():
                    raise
                if which not in (None, "latest", "best"):
                    raise NotTrainedError(f"{path} was removed while it was read; name another checkpoint.") from None
                logger.info("%s was removed while it was read; taking the next.", path)

    @staticmethod
    def read_state(path: Path) -> dict[str, Any]:
        """The `state.json` of a checkpoint."""
        return read_state(path)

    def _write(
        self,
        directory: Path,
        checkpoint: tf.train.Checkpoint,
        scope: Scope,
        state: Mapping[str, Any],
        replace: bool = False,
    ) -> Path:
        final = directory / _name(int(scope.global_timestep.numpy()), int(scope.global_step.numpy()))
        if (final / _STATE).is_file() and not replace:
            _update_state(final, state)
            return final
        for name, variable in _network_variables(scope).items():
            if not np.isfinite(variable.numpy()).all():
                raise NonFiniteError(f"Variable {name!r} holds NaN or infinity; no checkpoint of it is written.")
        staging = directory / f"{final.name}.tmp"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        checkpoint.write(str(staging / _VARIABLES))
        shapes = {name: list(variable.shape) for name, variable in _network_variables(scope).items()}
        content = {**state, "variables": shapes, "optimizers": _optimizers(scope)}
        (staging / _STATE).write_text(json.dumps(content, indent=1))
        if final.exists():
            _remove(final)
        os.replace(staging, final)
        return final


def read_state(path: Path) -> dict[str, Any]:
    """The `state.json` of a checkpoint."""
    return json.loads((path / _STATE).read_text())


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


def _remove(path: Path) -> None:
    """Removes a checkpoint at once: whoever reads it finds all of it, or finds it gone."""
    doomed = path.with_name(f"{path.name}.old")
    shutil.rmtree(doomed, ignore_errors=True)
    os.replace(path, doomed)
    shutil.rmtree(doomed)


def _update_state(path: Path, state: Mapping[str, Any]) -> None:
    """Brings `state.json` of a checkpoint up to date: the run may have ended with it."""
    content = {**read_state(path), **state}
    staging = path / f"{_STATE}.tmp"
    staging.write_text(json.dumps(content, indent=1))
    os.replace(staging, path / _STATE)


def _checkpoints(directory: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = [path for path in directory.glob("ckpt-*") if _NAME.match(path.name) and (path / _STATE).is_file()]
    return sorted(found, key=lambda path: [int(number or 0) for number in _NAME.findall(path.name)[0]])


def _name(timestep: int, step: int) -> str:
    return f"ckpt-{timestep:09d}" if timestep > 0 or step == 0 else f"ckpt-{timestep:09d}-{step:09d}"


def _network_variables(scope: Scope) -> dict[str, tf.Variable]:
    return {
        f"{part}/{label}": variable
        for part, network in scope.parts.items()
        if isinstance(network, QNetwork)
        for label, variable in network.labelled_variables().items()
    }


def _optimizers(scope: Scope) -> dict[str, Any]:
    """The configuration of each optimizer, as JSON gives it back."""
    optimizers = {part: optimizer for part, optimizer in scope.parts.items() if isinstance(optimizer, Optimizer)}
    configs = {part: {"class": type(o).__name__, **o.get_config()} for part, o in optimizers.items()}
    return json.loads(json.dumps(configs, default=lambda value: getattr(value, "tolist", lambda: str(value))()))


def _checked_state(path: Path, scope: Scope) -> dict[str, Any]:
    """`state.json`, after comparing every variable's shape with the networks that exist now."""
    state = read_state(path)
    saved = {name: tuple(shape) for name, shape in state["variables"].items()}
    parts = {part for part, network in scope.parts.items() if isinstance(network, QNetwork)}
    wanted = {name: tuple(variable.shape) for name, variable in _network_variables(scope).items()}
    for name, shape in wanted.items():
        if name not in saved:
            raise CheckpointMismatchError(f"{path} has no variable {name!r}, which the model now has with shape {shape}.")
        if saved[name] != shape:
            raise CheckpointMismatchError(
                f"{path} was written by another architecture: variable {name!r} has shape {saved[name]} there and "
                f"{shape} in the model now."
            )
    for name, shape in saved.items():
        if name not in wanted and any(name.startswith(f"{part}/") for part in parts):
            raise CheckpointMismatchError(f"{path} has a variable {name!r} of shape {shape}, which the model now lacks.")
    return state
