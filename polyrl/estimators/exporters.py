"""Exporters: which of the checkpoints that are evaluated become exports, with the semantics of tf.estimator's.

They have no state of their own: what a resumed run needs to know is noted in the exports.
"""

from __future__ import annotations

import abc
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from polyrl.estimators.exports import export
from polyrl.estimators.names import EXPORTER
from polyrl.estimators.prediction.predictor import Predictor
from polyrl.paths import resolved_directory
from polyrl.serving import versions
from polyrl.validation import check_int, explains, takes

RESULT = "eval_result"


def check_name(argument: str, name: Any) -> str:
    """Returns the name of an export, which is that of a directory, and of a model in a URL.

    Raises:
        TypeError: if it is not a str.
        ValueError: if it has other characters than letters, digits, `_`, `-` and `.`, or is one of `.` and `..`.
    """
    if not isinstance(name, str):
        raise TypeError(f"{argument}={name!r} must be a str.")
    if not re.fullmatch(r"[\w.-]+", name, re.ASCII) or name in (".", ".."):
        raise ValueError(
            f"{argument}={name!r} must be a name of letters, digits, '_', '-' and '.', for a directory and a URL."
        )
    return name


class Predicting(Protocol):
    """What an exporter needs of an `Agent`."""

    def predictor(self, checkpoint: str | os.PathLike[str] | None = None) -> Predictor:
        """The model of a checkpoint."""


@explains(EXPORTER)
class Exporter(abc.ABC):
    """Decides at each evaluation whether the checkpoint is exported. A subclass defines `_wants`.

    Args:
        name: of the exporter, and of its directory in `model_dir/export`.
        exports_to_keep: how many of the newest are kept; None: all.
    """

    def __init__(self, name: str, exports_to_keep: int | None = 5):
        self.name = check_name("name", name)
        keep = exports_to_keep
        self.exports_to_keep = None if keep is None else check_int("exports_to_keep", keep, minimum=1)

    def export(
        self,
        agent: Predicting,
        export_path: str | os.PathLike[str],
        checkpoint: str | os.PathLike[str] | None,
        eval_result: Mapping[str, Any] | None,
        is_the_final_export: bool,
    ) -> Path | None:
        """Exports the checkpoint, if that is due, and removes the oldest exports if there are too many.

        Args:
            agent: an `Agent`, or another object with its method `predictor`.
            export_path: where the versions go, as `model_dir/export/best`.
            checkpoint: `'latest'` (the default), `'best'`, or a checkpoint's path.
            eval_result: of that checkpoint, as `Agent.evaluate` gives it; None: it was not evaluated.
            is_the_final_export: whether the training is over.

        Returns:
            The directory of the new version; None if nothing was written: it was not due, or has been exported before.
        """
        directory = resolved_directory("export_path", export_path)
        result = None if eval_result is None else {name: float(value) for name, value in eval_result.items()}
        if not self._wants(directory, result, is_the_final_export):
            return None
        path, is_new = export(agent.predictor(checkpoint), directory, notes={RESULT: result})
        if not is_new:
            versions.note(path, {**versions.record_of(path), RESULT: result})
            return None
        versions.collect(directory, self.exports_to_keep)
        return path

    @abc.abstractmethod
    def _wants(self, directory: Path, result: dict[str, float] | None, is_final: bool) -> bool:
        """Whether the checkpoint with this result is exported."""


class LatestExporter(Exporter):
    """Exports at each evaluation, and at the end."""

    def _wants(self, directory: Path, result: dict[str, float] | None, is_final: bool) -> bool:
        return True


@explains(EXPORTER)
class FinalExporter(Exporter):
    """Exports once, when the training is over."""

    def __init__(self, name: str):
        super().__init__(name, None)

    def _wants(self, directory: Path, result: dict[str, float] | None, is_final: bool) -> bool:
        return is_final


def higher_mean_reward(best: Mapping[str, float], current: Mapping[str, float]) -> bool:
    """Whether the current result has a higher `mean_reward` than the best one so far."""
    for name, result in (("best_eval_result", best), ("current_eval_result", current)):
        if "mean_reward" not in result:
            raise ValueError(f"{name} has no mean_reward: {dict(result)}. Give BestExporter a compare_fn.")
    return current["mean_reward"] > best["mean_reward"]


@explains(EXPORTER)
class BestExporter(Exporter):
    """Exports when an evaluation is better than all before; a resumed run knows them by what it has exported.

    Args:
        name: see `Exporter`.
        exports_to_keep: see `Exporter`.
        compare_fn: `compare_fn(best_eval_result, current_eval_result)` says whether the current one is better; by default
            that of the higher `mean_reward` is.
    """

    def __init__(
        self,
        name: str,
        exports_to_keep: int | None = 5,
        compare_fn: Callable[[Mapping[str, float], Mapping[str, float]], bool] = higher_mean_reward,
    ):
        super().__init__(name, exports_to_keep)
        if not callable(compare_fn) or not takes(compare_fn, 2):
            raise TypeError(f"compare_fn={compare_fn!r} must be a function of two results, (best, current).")
        self._compare = compare_fn

    def _wants(self, directory: Path, result: dict[str, float] | None, is_final: bool) -> bool:
        if result is None:
            return False
        newest = versions.newest(directory)
        best = None if newest is None else versions.record_of(newest).get(RESULT)
        return best is None or bool(self._compare(best, result))
