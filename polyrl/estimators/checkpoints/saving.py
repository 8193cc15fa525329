"""`Saver`: writes the checkpoints of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polyrl.errors import CheckpointWriteError, DamagedCheckpointError
from polyrl.estimators.checkpoints.manager import CheckpointManager
from polyrl.estimators.checkpoints.params import note_checkpoints
from polyrl.estimators.events import EventFiles
from polyrl.estimators.loops.loop import Loop
from polyrl.estimators.rescue import as_far_as_possible
from polyrl.models.scope import Scope
from polyrl.replay import Replay

logger = logging.getLogger("polyrl")


class Saver:
    """Writes the checkpoints of a run: models, memory, environments, and what a `state.json` says of them all.

    Args:
        checkpoints: of the run's `model_dir`.
        scope: the models' state.
        memory: the replay memory.
        loop: the environments.
        circumstances: on what and how the run is computed, see `polyrl.estimators.checkpoints.exactness`.
        events: the TensorBoard files of the training.
        is_there: whether the `model_dir` is still where it was.

    Attributes:
        last: the checkpoint written last, or None.
    """

    def __init__(
        self,
        checkpoints: CheckpointManager,
        scope: Scope,
        memory: Replay,
        loop: Loop,
        circumstances: Mapping[str, Any],
        events: EventFiles,
        is_there: Callable[[], bool] = lambda: True,
    ):
        self.checkpoints, self.scope, self.memory, self.loop = checkpoints, scope, memory, loop
        self.events, self._circumstances, self._is_there = events, circumstances, is_there
        self._marked: dict[str, int] | None = None
        self.last: Path | None = None

    def mark_events(self) -> None:
        """What is written to TensorBoard from now on, at the end, is superseded if the run is resumed."""
        self._marked = self.events.sizes()

    def save(self, state: Mapping[str, Any], new_episodes: bool, required: bool = False) -> Path | None:
        """Writes everything; the variables are up to date. None, with a warning, if the disk does not take it.

        Args:
            state: what the run notes of itself.
            new_episodes: whether environments in Python start new episodes next.
            required: whether that is an error, for example at the end of a run.

        Raises:
            CheckpointWriteError: if it is.
        """
        # Episodes cannot continue without their rows in the memory.
        new_episodes = new_episodes or not self.checkpoints.save_replay
        try:
            self._check_place()
            write = as_far_as_possible(self.loop, new_episodes, required)
            self.last = self.checkpoints.save(self.scope, self.memory, self._state(state), write)
        except CheckpointWriteError as error:
            if required:
                raise CheckpointWriteError(f"{error} {self._left()}") from error
            logger.warning("%s Training continues without it. %s", error, self._left())
            return None
        note_checkpoints(self.checkpoints.model_dir)
        return self.last

    def save_best(self, state: Mapping[str, Any], score: float) -> Path | None:
        """Writes the models alone as the best so far; None, with a warning, if the disk does not take it."""
        try:
            self._check_place()
            return self.checkpoints.save_best(self.scope, self._state(state), score)
        except CheckpointWriteError as error:
            logger.warning("%s The best one before it is as it was.", error)
            return None

    def _check_place(self) -> None:
        """Raises a CheckpointWriteError if the directory was moved or removed: another run may be where it was."""
        if not self._is_there():
            raise CheckpointWriteError(
                f"{self.checkpoints.model_dir} was moved or removed while this run trains in it, and no checkpoint is written "
                "there. Move it back, or stop this run and resume from where it is now."
            )

    def _state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "seed": self.scope.seed,
            "best_score": self.checkpoints.best_score(),
            **state,
            "memory": self.memory.described,
            "models": self.scope.learners(),
            **self.loop.described,
            "num_envs": self.loop.num_envs,
            "circumstances": self._circumstances,
            "events": self.events.sizes() if self._marked is None else self._marked,
        }

    def _left(self) -> str:
        """Which checkpoint the run would resume from now."""
        try:
            latest = self.checkpoints.latest()
        except DamagedCheckpointError as error:
            return str(error)
        return "There is no checkpoint yet." if latest is None else f"The newest one is {latest}."
