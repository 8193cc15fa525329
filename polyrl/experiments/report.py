"""What an experiment shows at its end: tables, and the file of predictions."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from rich.table import Table

from polyrl.envs.observations import MASK
from polyrl.estimators import TrainingResult
from polyrl.experiments import tables

FIRST = ("episode", "timestep", "reward", "done", "truncated")
OF_EACH_ACTION = ("probabilities", "quantiles")
"""Predictions with a row for each action, of which the one that is taken is written."""

UNWRITTEN = ("results", "index", "env", "graph_results", "a", "v", "mean")
"""What a line has in another form, and what a network computes on its way to the values."""


def print_training(result: TrainingResult) -> None:
    """Says how a training run ended."""
    table = Table(show_header=False)
    for name, value in (
        ("stopped", result.stop_reason),
        ("environment steps", f"{result.global_timestep:,}"),
        ("updates", f"{result.global_step:,}"),
        ("episodes", f"{result.global_episode:,}"),
        ("checkpoint", str(result.checkpoint)),
    ):
        table.add_row(name, value)
    tables.show(table, "training")


def print_evaluation(result: Mapping[str, float], evaluated: Path | str, episodes: int) -> None:
    """The result of an evaluation as a table; `evaluated` is the checkpoint, or says which weights these were."""
    table = Table(show_header=False)
    title = f"evaluation of {evaluated}, {episodes} episodes"
    for name, value in result.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.3f}")
    tables.show(table, title)


def print_videos(videos: Mapping[Path, Mapping[str, float]], recorded: Path | None) -> None:
    """A line for each file, with what happened in it; `recorded` is the checkpoint that played."""
    table = Table("video", "return", "steps")
    for path, values in videos.items():
        table.add_row(str(path), f"{values['return']:g}", f"{values['steps']:,}")
    tables.show(table, f"recorded with {recorded}")


def print_seeds(results: Mapping[int, Mapping[str, float]], mean: str, interval: str, model_dir: Path) -> None:
    """The last evaluation of each seed, their mean, and its interval."""
    table = Table("seed", "steps of its best weights", "mean_reward")
    for seed, result in results.items():
        table.add_row(str(seed), f"{int(result['global_timestep']):,}", f"{result['mean_reward']:.3f}")
    table.add_section()
    table.add_row("mean", "", mean)
    if len(results) > 1:
        table.add_row("95 % interval", "", interval)
    tables.show(table, f"{len(results)} seed{'s' if len(results) > 1 else ''} in {model_dir}")


def write_predictions(
    steps: Iterable[Mapping[str, Any]], output: str | os.PathLike[str] | None, checkpoint: Path
) -> dict[str, float]:
    """Writes one JSON line for each step, prints a summary, and returns it.

    A line holds `episode`, `timestep`, `state`, `action`, `q`, `reward`, `done`, `truncated`; every other key of the
    observation; and what else the model predicts: of a distribution of returns that of the action chosen, of C51 `support` and
    `probabilities`, of QR-DQN `quantiles`.
    """
    episodes: dict[int, float] = {}
    taken = 0
    with contextlib.ExitStack() as stack:
        file: TextIO | None = None
        if output is not None:
            try:
                Path(output).parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(output, "w", encoding="utf-8"))
            except OSError as error:
                text = f"infer_output={os.fspath(output)!r} (--output) cannot be written: {error.strerror}. Give another path."
                raise type(error)(text) from error
        for step in steps:
            episodes[step["episode"]] = episodes.get(step["episode"], 0.0) + step["reward"]
            taken += 1
            if file is not None:
                file.write(json.dumps(_line(step)) + "\n")
    rewards = list(episodes.values())
    summary = {
        "episodes": float(len(rewards)),
        "steps": float(taken),
        "mean_reward": float(np.mean(rewards)),
        "min_reward": float(np.min(rewards)),
        "max_reward": float(np.max(rewards)),
    }
    table = Table(show_header=False)
    title = f"inference with {checkpoint}"
    for name, value in summary.items():
        table.add_row(name, f"{value:g}")
    if output is not None:
        table.add_row("output", str(output))
    tables.show(table, title)
    return summary


def _line(step: Mapping[str, Any]) -> dict[str, Any]:
    action = step["results"].tolist()  # An int, or a list of numbers.
    line = {name: step[name] for name in FIRST}
    line |= {"state": step["state"].tolist(), "action": action, "q": step["q"].tolist()}
    if MASK in step:
        line[MASK] = step[MASK].astype(bool).tolist()  # As the server takes it.
    for name, value in step.items():
        if name not in (*line, *UNWRITTEN):
            line[name] = np.asarray(value[step["index"]] if name in OF_EACH_ACTION else value).tolist()
    return line
