"""`CheckpointManager`: the checkpoints of a `model_dir`, and which of them is read."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from polyrl.errors import CheckpointMismatchError, DamagedCheckpointError, NonFiniteError, NotTrainedError
from polyrl.estimators.checkpoints import files as checkpoint_files
from polyrl.estimators.checkpoints.files import FILES, STATE, read_state
from polyrl.estimators.checkpoints.fitting import check_architecture, check_optimizers, described, network_variables
from polyrl.models.scope import Scope
from polyrl.paths import literal, resolved_directory, without_checkpoints
from polyrl.replay import Replay, shards

T = TypeVar("T")

logger = logging.getLogger("polyrl")

_VARIABLES = "variables"


class CheckpointManager:
    """Writes, lists, prunes and reads the checkpoints of a `model_dir`.

        model_dir/checkpoints/ckpt-<timestep>/   everything, to resume from: the newest `keep_max`
        model_dir/best/ckpt-<timestep>/          the models alone, of the best evaluation so far

    Each holds TensorFlow's files `variables`, the memory (to resume from, see `polyrl.replay.shards`), and `state.json`:
    counters, hooks' states, shapes, the score, and the sizes and checksums of the files. It is written under another name
    first and renamed when complete, so that a crash leaves the older ones as they were. Timesteps are environment steps;
    before the first of them, in pre-training, the updates follow: `ckpt-<timestep>-<updates>`.

    The newest is the newest that is whole. Damaged ones are named in a warning, and never removed.

    Args:
        model_dir: of the run.
        keep_max: how many of the newest are kept.
        save_replay: whether they hold the memory.
    """

    def __init__(self, model_dir: str | os.PathLike[str], keep_max: int, save_replay: bool = True):
        self.model_dir = resolved_directory("model_dir", model_dir)
        self._keep_max, self.save_replay = keep_max, save_replay
        self._before: tuple[Path, Mapping[str, Any]] | None = None
        self._told: set[str] = set()
        self._known: dict[tuple[Path, int], str | None] = {}
        self._score: tuple[float | None] | None = None

    @property
    def directory(self) -> Path:
        """Where the checkpoints to resume from lie."""
        return self.model_dir / "checkpoints"

    @property
    def best_directory(self) -> Path:
        """Where the best one lies."""
        return self.model_dir / "best"

    def latest(self) -> Path | None:
        """The newest checkpoint that is whole, as far as sizes tell; None if there are none.

        Raises:
            DamagedCheckpointError: if there are some, and all are damaged.
        """
        return self._newest(self.directory)

    def best(self) -> Path | None:
        """The best checkpoint by evaluation, likewise."""
        return self._newest(self.best_directory)

    def resume_from(self, state: Mapping[str, Any]) -> None:
        """Makes the best score that of a checkpoint's state, not that of a best checkpoint which was written after it."""
        self._score = (state["best_score"],) if "best_score" in state else None

    def best_score(self) -> float | None:
        """The score the best checkpoint was kept for, or None; of a run, as far as it has come."""
        if self._score is not None:
            return self._score[0]
        path = self.best()
        return None if path is None else float(read_state(path)["score"])

    def save(self, scope: Scope, memory: Replay, state: Mapping[str, Any], write: Callable[[Path], None]) -> Path:
        """Writes everything; returns the checkpoint's directory. Older ones are pruned afterwards.

        Args:
            scope: the models' state.
            memory: the replay memory.
            state: the content of `state.json`.
            write: writes more into the directory it is given.
        """

        def fill(staging: Path) -> dict[str, Any]:
            write(staging)
            return {FILES: shards.write(memory, staging, self._before)} if self.save_replay else {}

        path, written = self._write(self.directory, scope, state, fill)
        if written:
            self._before = path, read_state(path)[FILES]
        whole = [old for old in checkpoint_files.found_in(self.directory) if self._damage(old) is None]
        for old in whole[: -self._keep_max]:
            checkpoint_files.remove(old)
        return path

    def save_best(self, scope: Scope, state: Mapping[str, Any], score: float) -> Path:
        """Writes the models alone as the best so far, in place of the one before."""
        path, _ = self._write(self.best_directory, scope, {**state, "score": score}, lambda staging: {})
        self._score = (score,)
        found = checkpoint_files.found_in(self.best_directory)
        for place, old in enumerate(found):
            if old != path and self._damage(old) is None:
                # A later one is of what came after the checkpoint that the run has resumed from.
                before = place < found.index(path)
                checkpoint_files.remove(old) if before else checkpoint_files.set_aside(old, "superseded")
        return path

    def reopen(self) -> None:
        """Notes in the newest checkpoint that the run which ended with it has been resumed."""
        path = self.latest()
        state = {} if path is None else read_state(path)
        if path is not None and (state.get("ended") is not None or state.get("spent", False)):
            checkpoint_files.update_state(path, {"ended": None, "spent": False})

    def restore(self, path: Path, scope: Scope, memory: Replay) -> dict[str, Any]:
        """Reads everything back into variables that exist already; returns `state.json`.

        The memory is left as it is if the checkpoint does not hold it.

        Raises:
            CheckpointMismatchError: if the checkpoint holds another architecture, or other parts.
            DamagedCheckpointError: if a file is missing, or not what was written.
        """
        checkpoint_files.check_whole(path)
        state = read_state(path)
        check_architecture(path, state, scope)
        if FILES not in state:
            raise CheckpointMismatchError(
                f"{path} is of an earlier version of polyrl: it can be evaluated, and not resumed. Use another model_dir."
            )
        check_optimizers(path, state, scope)
        try:
            tf.train.Checkpoint(scope=scope).read(str(literal(path) / _VARIABLES)).assert_consumed()
            if shards.INDEX in state[FILES]:
                shards.read(memory, path)
        except DamagedCheckpointError:
            raise
        except (AssertionError, ValueError) as error:
            raise CheckpointMismatchError(
                f"{path} does not fit this run: its optimizer or its memory differs from the one configured now. "
                f"Use the arguments it was trained with, or another model_dir. ({error})"
            ) from error
        self._before = path, state[FILES]
        return state

    @staticmethod
    def restore_models(path: Path, scope: Scope) -> dict[str, Any]:
        """Reads the models alone, for evaluation and prediction, in any precision; returns `state.json`.

        Raises:
            CheckpointMismatchError: if the checkpoint holds another architecture.
            DamagedCheckpointError: if a file is missing, or not what was written.
        """
        checkpoint_files.check_whole(path, _VARIABLES)
        state = read_state(path)
        check_architecture(path, state, scope, precisely=False)
        status = tf.train.Checkpoint(scope=scope).read(str(literal(path) / _VARIABLES))
        status.assert_existing_objects_matched().expect_partial()
        return state

    def find(self, which: str | os.PathLike[str] | None) -> Path:
        """The checkpoint meant by None or `'latest'`, `'best'`, or a path.

        Raises:
            NotTrainedError: if there is none.
            DamagedCheckpointError: if there are some, and all are damaged.
        """
        if which is None or which == "latest":
            found = self.latest()
        elif which == "best":
            found = self.best()
        else:
            found = checkpoint_files.named(which, self.directory, self.best_directory)
        if found is None:
            where = f"in model_dir={str(self.model_dir)!r}"
            latest = self.latest()
            if which != "best" or latest is None:
                then = without_checkpoints(self.model_dir)
                raise NotTrainedError(f"There is no {'best ' if which == 'best' else ''}checkpoint {where}. {then}")
            score = read_state(latest).get("best_score")
            why = "no evaluation has taken place while it was trained" if score is None else f"that with {score} was removed"
            raise NotTrainedError(
                f"There is no best checkpoint {where}: {why}. Use 'latest', or train on with evaluations that are due within "
                "the budget."
            )
        return found

    def reading(self, which: str | os.PathLike[str] | None, read: Callable[[Path], T]) -> T:
        """What `read(path)` returns for the checkpoint that is meant, see `find`.

        A trainer may prune the checkpoint that is being read, and it may turn out to be damaged: then the next one takes its
        place.

        Raises:
            NotTrainedError: if there is none, or the path that was named is gone.
            DamagedCheckpointError: if all are damaged, or the one that was named is.
        """
        while True:
            path = self.find(which)
            try:
                return read(path)
            except DamagedCheckpointError as error:
                if which not in (None, "latest", "best"):
                    raise
                self._known[checkpoint_files.version(path)] = str(error).rstrip(".")
            except (OSError, tf.errors.OpError, ValueError):
                if (path / STATE).is_file():
                    raise
                if which not in (None, "latest", "best"):
                    raise NotTrainedError(f"{path} was removed while it was read; name another checkpoint.") from None
                logger.info("%s was removed while it was read; taking the next.", path)

    def readable(self, which: str | os.PathLike[str] | None) -> Path:
        """The checkpoint that is meant, see `reading`, whose models are what was written, to the last byte."""
        return self.reading(which, lambda path: checkpoint_files.check_whole(path, _VARIABLES))

    def clear(self) -> None:
        """Removes what a run that died has left half written. Nobody else may be training in the `model_dir`."""
        for directory in (self.directory, self.best_directory):
            checkpoint_files.clear(directory)

    @staticmethod
    def read_state(path: Path) -> dict[str, Any]:
        """The `state.json` of a checkpoint."""
        return read_state(path)

    def _newest(self, directory: Path) -> Path | None:
        """The newest checkpoint in a directory that is whole, as far as is known; None if there are none.

        Raises:
            DamagedCheckpointError: if there are some, and all are damaged.
        """
        damages: list[str] = []
        for path in reversed(checkpoint_files.found_in(directory)):
            damage = self._damage(path)
            if damage is None:
                for text in damages:
                    if text not in self._told:
                        self._told.add(text)
                        logger.warning("%s. Taking %s, the newest that is whole; the other is left as it is.", text, path)
                return path
            if path.exists():  # It may have been pruned.
                damages.append(damage)
        if damages:
            raise DamagedCheckpointError(
                f"No checkpoint in {directory} is whole: {'; '.join(damages)}. Put one back from a copy, read another "
                "one (--checkpoint, checkpoint=), or use another model_dir; nothing is started from zero where a run has been."
            )
        return None

    def _damage(self, path: Path) -> str | None:
        """What is wrong with a checkpoint, as far as sizes tell and a reading has found; looked at once."""
        version = checkpoint_files.version(path)
        if version not in self._known:
            damage = checkpoint_files.damage(path, thorough=False)
            self._known[version] = damage or checkpoint_files.misplaced(path, path.parent == self.best_directory)
        return self._known[version]

    def _write(
        self,
        directory: Path,
        scope: Scope,
        state: Mapping[str, Any],
        write: Callable[[Path], Mapping[str, Any]],
    ) -> tuple[Path, bool]:
        """Writes the scope, and what `write` writes, which returns what `state.json` holds in addition to `state`.

        Returns its directory, and whether it was written: one of this time that is whole may be there already.
        """
        final = directory / checkpoint_files.name_of(int(scope.global_timestep.numpy()), int(scope.global_step.numpy()))
        if final.exists() and directory == self.directory and self._damage(final) is None:
            checkpoint_files.update_state(final, state)
            return final, False
        for name, variable in network_variables(scope).items():
            if not np.isfinite(variable.numpy()).all():
                raise NonFiniteError(f"Variable {name!r} holds NaN or infinity; no checkpoint of it is written.")

        def fill(staging: Path) -> dict[str, Any]:
            tf.train.Checkpoint(scope=scope).write(str(staging / _VARIABLES))
            return {**state, **write(staging), **described(scope)}

        checkpoint_files.write(final, fill)
        return final, True
