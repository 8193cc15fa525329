"""`Readers`: the predictors behind `Agent.evaluate`, `predict`, `act` and `record`, so that a checkpoint is read once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from polyrl.estimators.checkpoints.manager import CheckpointManager
from polyrl.estimators.prediction.predictor import Predictor


class Readers:
    """Predictors by the checkpoint that they hold.

    There is one for the latest checkpoint, one for the best, and one for a path, and more while a prediction still needs the
    weights of one of them. A new checkpoint is read into what held the one before it: nothing is traced again.

    Args:
        checkpoints: of the run.
        build: makes a predictor, which has no weights yet.
    """

    def __init__(self, checkpoints: CheckpointManager, build: Callable[[], Predictor]):
        self._checkpoints, self._build = checkpoints, build
        self._predictors: dict[str, list[Predictor]] = {}

    def new(self, checkpoint: str | os.PathLike[str] | None) -> Predictor:
        """A predictor of its own with the weights of that checkpoint."""
        return self._checkpoints.reading(checkpoint, lambda path: self._build().load(path))

    def get(self, checkpoint: str | os.PathLike[str] | None) -> Predictor:
        """A predictor with the weights of that checkpoint, read if none has them."""
        which = "latest" if checkpoint is None else str(checkpoint)
        kind = which if which in ("latest", "best") else "path"
        return self._checkpoints.reading(checkpoint, lambda path: self._read(kind, path))

    def _read(self, kind: str, path: Path) -> Predictor:
        version = Predictor.version_of(path)
        for predictors in self._predictors.values():
            for predictor in predictors:
                if predictor.version == version:
                    return predictor
        group = self._predictors.setdefault(kind, [])
        idle = [predictor for predictor in group if not predictor.in_use]
        predictor = idle[0] if idle else self._build()
        if not idle:
            group.append(predictor)
        return predictor.load(path)
