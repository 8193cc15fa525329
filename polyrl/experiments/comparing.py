"""`--mode=compare`: the runs below some directories side by side, those of several seeds together."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from polyrl import statistics
from polyrl.estimators.events import EVALUATIONS
from polyrl.flags.config import FILE

COLUMNS = ("run", "environment", "model", "seeds", "steps", "last evaluation", "best evaluation", "best weights")


class Run(NamedTuple):
    """What the files of a run say: its configuration, and the mean rewards of its evaluations.

    `evaluations` are those while training, in their order; `final` is the last one of its best checkpoint, or None.
    """

    directory: Path
    config: dict[str, Any]
    timestep: int
    evaluations: list[float]
    final: float | None


def find(directories: Iterable[str]) -> list[Run]:
    """The runs in and below directories, each once, in the order of their paths.

    Raises:
        FileNotFoundError: if a directory does not exist.
    """
    files: dict[Path, None] = {}
    for name in directories:
        directory = Path(name).expanduser()
        if not directory.is_dir():
            raise FileNotFoundError(f"--runs={name}: there is no such directory.")
        files |= dict.fromkeys(sorted(directory.rglob(FILE)))
    return [_read(file.parent) for file in files]


def print_comparison(directories: Iterable[str]) -> None:
    """Prints a table with a line for each run, or for the runs of one configuration with several seeds.

    Of several seeds a value is the mean, with its 95 % interval by a bootstrap over the seeds.

    Raises:
        FileNotFoundError: if a directory does not exist, or there is no run in any of them.
    """
    directories = list(directories)
    groups = grouped(find(directories))
    if not groups:
        raise FileNotFoundError(f"There is no run below {', '.join(directories)}: a run has a file {FILE}.")
    table = Table(title="mean reward of the evaluations", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, overflow="fold")
    for name, runs in groups.items():
        table.add_row(*row(name, runs))
    Console().print(table)


def grouped(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs of one configuration but for the seed, in one directory, by that directory; any other by its own."""
    groups: dict[tuple[Path, str], list[Run]] = {}
    for run in runs:
        same = {name: value for name, value in run.config.items() if name != "seed"}
        groups.setdefault((run.directory.parent, json.dumps(same, sort_keys=True)), []).append(run)
    named: dict[str, list[Run]] = {}
    for (parent, _), members in groups.items():
        # Two groups in one directory have the names of their first runs.
        alone = len(members) == 1 or str(parent) in named
        named[str(members[0].directory if alone else parent)] = members
    return named


def row(name: str, runs: list[Run]) -> list[str]:
    """A line of the table, in the order of `COLUMNS`."""
    config = runs[0].config
    steps = sorted({run.timestep for run in runs})
    return [
        name,
        str(config.get("env", "")),
        str(config.get("model", "")),
        str(len(runs)),
        f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}",
        _spread([run.evaluations[-1] for run in runs if run.evaluations]),
        _spread([max(run.evaluations) for run in runs if run.evaluations]),
        _spread([run.final for run in runs if run.final is not None]),
    ]


def _spread(scores: list[float]) -> str:
    if not scores:
        return ""
    if len(scores) == 1:
        return f"{scores[0]:.1f}"
    values = np.array(scores)
    (low,), (high,) = statistics.interval(values[np.newaxis], statistic=statistics.mean)
    return f"{values.mean():.1f} ({low:.1f} to {high:.1f})"


def _read(directory: Path) -> Run:
    config = json.loads((directory / FILE).read_text(encoding="utf-8"))
    rows, final = _rows(directory / EVALUATIONS), _rows(directory / "eval" / EVALUATIONS)
    steps = [int(float(row["global_timestep"])) for row in (*rows, *final)]
    scores = [float(row["mean_reward"]) for row in rows]
    return Run(directory, config, max(steps, default=0), scores, float(final[-1]["mean_reward"]) if final else None)


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with open(file, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
