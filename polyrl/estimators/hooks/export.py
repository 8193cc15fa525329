"""The hook that has exporters export what is evaluated while training."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyrl.estimators.checkpoints.files import name_of
from polyrl.estimators.exporters import Exporter
from polyrl.estimators.exports import DIRECTORY
from polyrl.estimators.hooks.base import Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.estimators.hooks.pace import aside

logger = logging.getLogger("polyrl")


class ExportHook(Hook):
    """After each evaluation: has a checkpoint written, and offers it to the exporters, which write to `model_dir/export`.

    Give it after the hook that evaluates; a run without an evaluation is told that nothing was exported. A run that is
    interrupted will go on, so whoever calls `Agent.train` decides by its result whether to call `export_final`.

    Args:
        agent: the agent that trains.
        exporters: in their order.
    """

    def __init__(self, agent: Any, exporters: Sequence[Exporter]):
        self._agent, self._exporters = agent, checked_exporters(exporters)
        self._seen: int | None = None  # The environment step of the last evaluation that was offered.
        self._result: dict[str, float] | None = None
        self._written: list[Path] = []

    @property
    def exported(self) -> list[Path]:
        """What the exporters have written since this hook was made and have kept, oldest first; `export/<name>/<version>`."""
        return [path for path in self._written if path.is_dir()]

    def begin(self, run: RunContext) -> None:
        if self._is_due(run):  # It was owed by the run before; the weights are still those of the checkpoint.
            self._export(run, self._agent.checkpoints.latest())

    def after_act(self, run: RunContext) -> None:
        if self._is_due(run):
            run.request_checkpoint()

    def after_checkpoint(self, run: RunContext, path: Path) -> None:
        if self._is_due(run):
            with aside(run):
                self._export(run, path)

    def end(self, run: RunContext) -> None:
        if self._exporters and run.last_evaluation is None and self._seen is None:
            logger.warning("ExportHook has exported nothing, as there was no evaluation: give an EvaluationHook before it.")

    def export_final(self, checkpoint: Path, result: Mapping[str, Any] | None = None) -> list[Path]:
        """Offers the last checkpoint of a run that has ended as the final export.

        Args:
            checkpoint: the last one.
            result: what `Agent.evaluate` gave for it; None: that of the run's last evaluation, if it was of the same weights.

        Returns:
            What was exported.
        """
        model_dir = self._agent.model_dir
        if result is None and self._seen is not None and checkpoint.name == name_of(self._seen, 0):
            result = self._result
        exported = export_all(self._agent, self._exporters, model_dir, checkpoint, result, is_final=True)
        final = [path for path in exported if path is not None]
        self._written += final
        return final

    def get_state(self) -> dict[str, Any]:
        return {"seen": self._seen, "result": self._result}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._seen, self._result = state["seen"], state["result"]

    def _is_due(self, run: RunContext) -> bool:
        """Whether the present weights were evaluated, and have not been offered yet."""
        evaluated = None if run.last_evaluation is None else int(run.last_evaluation["global_timestep"])
        return evaluated == run.timestep and evaluated != self._seen

    def _export(self, run: RunContext, checkpoint: Path | None) -> None:
        self._seen, self._result = run.timestep, run.last_evaluation
        if checkpoint is not None:
            exported = export_all(self._agent, self._exporters, run.model_dir, checkpoint, run.last_evaluation)
            self._written += [path for path in exported if path is not None]


def checked_exporters(exporters: Any) -> list[Exporter]:
    """The exporters as a list; None means none.

    Raises:
        TypeError: for what is not an exporter.
        ValueError: for two of one name, which would write to one directory.
    """
    if exporters is not None and (isinstance(exporters, str | Exporter) or not isinstance(exporters, Sequence)):
        raise TypeError(f"exporters={exporters!r} must be a list or tuple of exporters.")
    for exporter in exporters or ():
        if not isinstance(exporter, Exporter):
            raise TypeError(f"exporters: {exporter!r} must be an Exporter.")
    names = [exporter.name for exporter in exporters or ()]
    if len(set(names)) < len(names):
        raise ValueError(f"exporters: the names {names} must differ, as each has a directory of its name.")
    return list(exporters or ())


def export_all(
    agent: Any,
    exporters: Sequence[Exporter],
    model_dir: Path,
    checkpoint: Path,
    result: Mapping[str, Any] | None,
    is_final: bool = False,
) -> list[Path | None]:
    """What each exporter gives back for a checkpoint, see `Exporter.export`."""
    directory = model_dir / DIRECTORY
    return [each.export(agent, directory / each.name, checkpoint, result, is_final) for each in exporters]
