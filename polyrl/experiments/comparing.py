"""`--mode=compare`: the runs below some directories side by side, those of several seeds together."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from polyrl import statistics
from polyrl.estimators.checkpoints.params import FILE as PARAMS_FILE
from polyrl.estimators.events import EVALUATIONS, METRICS
from polyrl.experiments import tables

COLUMNS = ("run", "environment", "model", "seeds", "steps", "training", "last", "best", "best weights")
LEAST = ("seeds", "environment", "model", "training", "last", "steps")
"""The columns that a narrow terminal leaves out, in this order."""

TITLE = (
    "mean reward: of the newest training episodes, with exploration; and of the evaluations the last one, the best one, and "
    "the one of most episodes of the best weights after training"
)
SHOWN = {"progress", "class"}
"""Settings of what a run shows, and not of what it does."""
TRAINING = "rollout/ep_rew_mean"


class Run(NamedTuple):
    """What the files of a run say: its settings, and the mean rewards of its episodes and evaluations.

    `timestep` is how far it has come: that of its newest checkpoint, or of its evaluations. `training` is of the last hundred
    training episodes, or None. `evaluations` are those while training, in their order; `final` is of its best checkpoint the
    newest one of most episodes, or None. `settings` are its hyper-parameters and configuration but for the seed, of another
    program than the command also its models.
    """

    directory: Path
    seed: Any
    settings: dict[str, Any]
    environment: str
    model: str
    timestep: int
    training: float | None
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
        files |= dict.fromkeys(sorted(directory.rglob(PARAMS_FILE)))
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
        raise FileNotFoundError(f"There is no run below {', '.join(directories)}: a run has a file {PARAMS_FILE}.")
    above = os.path.commonpath(groups) if len(groups) > 1 else ""
    title = TITLE if not above else f"{TITLE}; runs in {above}"
    rows = [row(os.path.relpath(name, above) if above else name, runs) for name, runs in groups.items()]
    left_out: list[str] = []
    while not tables.fits(table := _table(rows, left_out)) and len(left_out) < len(LEAST):
        left_out.append(LEAST[len(left_out)])
    tables.show(table, title, wrap_title=True)
    for line in differences({cells[0]: runs for cells, runs in zip(rows, groups.values(), strict=True)}):
        tables.note(line)
    if left_out:
        tables.note(f"Left out, as the terminal has {tables.width()} columns: {', '.join(left_out)}. In a file all are shown.")


def differences(groups: dict[str, list[Run]]) -> list[str]:
    """In which settings the runs of one environment and one model differ: a line for each run, none where it is the only one.

    Left out are what only some of them have a setting for, as a program without flags, and how a run is shown.
    """
    lines: list[str] = []
    alike: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for name, (run, *others) in groups.items():
        settings = run.settings if others else {**run.settings, "params": {**run.settings["params"], "seed": run.seed}}
        alike.setdefault((run.environment, run.model), {})[name] = _flat(settings)
    for (environment, model), of_runs in alike.items():
        every = set.intersection(*({_outermost(key) for key in settings} for settings in of_runs.values())) - SHOWN
        found = dict.fromkeys(key for settings in of_runs.values() for key in settings if _outermost(key) in every)
        keys = [key for key in found if len({settings.get(key) for settings in of_runs.values()}) > 1]
        if keys:
            lines.append(f"What differs between the runs of {model} on {environment}:")
        for name, settings in of_runs.items() if keys else ():
            lines.append(f"  {name}: {', '.join(f'{key}={settings[key]}' for key in keys if key in settings)}")
    return lines


def _outermost(key: str) -> str:
    return key.partition(".")[0]


def _flat(settings: dict[str, Any]) -> dict[str, str]:
    """By name all settings of a run, and those of its only model; what a value has inside has its name behind a point."""
    models = [*settings["models"].values()]
    return dict(_named({**(models[0] if len(models) == 1 else {}), **settings["config"], **settings["params"]}))


def _named(values: dict[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _named(value, f"{place}{name}.")
        elif isinstance(value, float):
            yield place + name, f"{value:.4g}"
        else:
            yield place + name, value if isinstance(value, str) else json.dumps(value)


def _table(rows: Iterable[list[str]], left_out: Collection[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    shown = [name not in left_out for name in COLUMNS]
    for name in itertools.compress(COLUMNS, shown):
        table.add_column(name)
    for cells in rows:
        table.add_row(*itertools.compress(cells, shown))
    return table


def grouped(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs of `--seeds` in one directory, that differ in their seeds alone, by that directory; any other by its own."""
    groups: dict[tuple[Path, str], list[Run]] = {}
    for run in runs:
        is_one_of_seeds = re.fullmatch(r"seed-\d+", run.directory.name) is not None
        same = "" if not is_one_of_seeds else json.dumps([run.environment, run.model, run.settings], sort_keys=True)
        place = run.directory.parent if is_one_of_seeds else run.directory
        groups.setdefault((place, same), []).append(run)
    named: dict[str, list[Run]] = {}
    for (place, _), members in groups.items():
        if len({run.seed for run in members}) < len(members):
            named |= {str(run.directory): [run] for run in members}
            continue
        # Two groups in one directory have the names of their first runs.
        named[str(members[0].directory if str(place) in named or len(members) == 1 else place)] = members
    return named


def row(name: str, runs: list[Run]) -> list[str]:
    """A line of the table, in the order of `COLUMNS`."""
    steps = sorted({run.timestep for run in runs})
    return [
        name,
        runs[0].environment,
        runs[0].model,
        str(len(runs)),
        f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}",
        _spread([run.training for run in runs if run.training is not None]),
        _spread([run.evaluations[-1] for run in runs if run.evaluations]),
        _spread([max(run.evaluations) for run in runs if run.evaluations]),
        _spread([run.final for run in runs if run.final is not None]),
    ]


def _spread(scores: list[float]) -> str:
    if not scores:
        return ""
    if len(scores) == 1:
        return _number(scores[0])
    values = np.array(scores)
    (low,), (high,) = statistics.interval(values[np.newaxis], statistic=statistics.mean)
    return f"{_number(values.mean())}\n({_number(low)} to {_number(high)})"


def _number(value: float) -> str:
    """Small returns, as those of FrozenLake below 1, with more digits behind the point."""
    return f"{value:,.{1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3}f}"


def _read(directory: Path) -> Run:
    described = json.loads((directory / PARAMS_FILE).read_text(encoding="utf-8"))
    params, config = dict(described.get("params", {})), dict(described.get("config", {}))
    seeds = [part.pop("seed", None) for part in (config, params)]
    newest = _newest(directory, "checkpoints")
    state = {} if {"env", "model"} <= params.keys() else _newest_state(directory)
    models = state.get("models", {})
    environment = params.get("env", state.get("circumstances", {}).get("environment", ""))
    if arguments := params.get("env_kwargs"):
        environment = f"{environment}({', '.join(arguments)})"
    model = params.get("model", ", ".join(each.get("class", name) for name, each in models.items()))
    rows, final = _rows(directory / EVALUATIONS), _rows(directory / "eval" / EVALUATIONS)
    best = _newest(directory, "best")
    steps = [_step(row) for row in (*rows, *final)] if newest is None else [newest]
    of_best = sorted((row for row in final if _step(row) == best), key=_episodes)
    return Run(
        directory,
        seeds[0],
        {"params": params, "config": config, "models": models},
        str(environment),
        str(model),
        max(steps, default=0),
        _training(directory / METRICS),
        [float(row["mean_reward"]) for row in rows],
        float(of_best[-1]["mean_reward"]) if of_best else None,
    )


def _newest(directory: Path, kind: str) -> int | None:
    """The environment step of the newest checkpoint of a kind, `checkpoints` or `best`, as its name says; None without one."""
    found = [re.fullmatch(r"ckpt-(\d+)(-\d+)?", path.name) for path in directory.glob(f"{kind}/ckpt-*")]
    return max((int(match[1]) for match in found if match is not None), default=None)


def _step(row: dict[str, str]) -> int:
    return int(float(row["global_timestep"]))


def _episodes(row: dict[str, str]) -> int:
    return int(row.get("episodes") or 0)


def _newest_state(directory: Path) -> dict[str, Any]:
    """What the newest checkpoint says of its run."""
    files = sorted(directory.glob("*/ckpt-*/state.json"), key=lambda file: file.parent.name)
    return json.loads(files[-1].read_text(encoding="utf-8")) if files else {}


def _training(file: Path) -> float | None:
    """The newest mean return of the training episodes; a last line that is being written is none."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            if f'"{TRAINING}"' in line:
                return float(json.loads(line)[TRAINING])
    return None


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with open(file, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
