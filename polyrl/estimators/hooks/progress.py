"""Hooks that show how far a training run is."""

from __future__ import annotations

import logging
import sys

import numpy as np
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Column

from polyrl.estimators.hooks.base import Cadence, Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.estimators.hooks.pace import Pace

logger = logging.getLogger("polyrl")


def progress_hook(evaluates_every: int | None = None) -> Hook:
    """A progress bar if stderr is a terminal that can redraw a line, else plain lines.

    Args:
        evaluates_every: environment steps between the run's evaluations, if it has any.
    """
    # Messages that a console of the logger's writes appear above the bar if it is the same one.
    console = next((handler.console for handler in logger.handlers if isinstance(handler, RichHandler)), Console(stderr=True))
    # Variables such as FORCE_COLOR make Rich take a file for a terminal.
    is_terminal = console.is_terminal and sys.stderr is not None and sys.stderr.isatty()
    is_bar = is_terminal and not console.is_dumb_terminal
    return ProgressHook(console, evaluates_every=evaluates_every) if is_bar else LoggingHook()


def write_line(line: str) -> None:
    """Logs a line to the logger `polyrl`; writes it to stderr instead where no logging has been set up that would show it.

    A program that has given the logger itself a level above INFO, or has disabled INFO, has chosen to see no lines.
    """
    if logger.isEnabledFor(logging.INFO) and logger.hasHandlers():
        logger.info("%s", line)
    elif logger.level <= logging.INFO and logger.manager.disable < logging.INFO and sys.stderr is not None:
        print(line, file=sys.stderr, flush=True)


def describe_rewards(run: RunContext) -> str:
    """The mean reward of the last episodes, and of the last evaluation."""
    parts = []
    if run.episodes:
        parts.append(f"reward {_short(float(np.mean([episode.reward for episode in run.episodes])))}")
    if run.last_evaluation is not None:
        parts.append(f"eval {_short(run.last_evaluation['mean_reward'])}")
    return ", ".join(parts)


def _short(value: float) -> str:
    """Returns below 10 have more digits behind the point: of FrozenLake all are below 1."""
    return f"{value:.1f}" if abs(value) >= 10.0 else f"{value:.3g}"


def describe(run: RunContext) -> str:
    """One line on where the run is: episodes, mean rewards, exploration rate, loss."""
    parts = [f"episode {run.episode}"]
    if run.episodes:
        parts.append(describe_rewards(run))
    if np.isfinite(run.exploration_rate):
        parts.append(f"exploration {run.exploration_rate:.2f}")
    if run.step:
        parts.append(f"loss {run.loss:.3g}")
    return ", ".join(parts)


def describe_pretraining(run: RunContext) -> str:
    """How far pre-training is."""
    return f"pre-training: update {run.step} of {run.pretrain_updates}, loss {run.loss:.3g}"


def clock(seconds: float) -> str:
    """`01:05`, or `2:01:05` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


class LoggingHook(Hook):
    """Writes a line every `every_secs` seconds or `every_timesteps` steps, and one at the end, see `write_line`.

    Args:
        every_secs: seconds between lines; None: not by time.
        every_timesteps: environment steps between lines; None: not by steps.
    """

    def __init__(self, every_secs: float | None = 10.0, every_timesteps: int | None = None):
        self._cadence = Cadence(every_timesteps, every_secs)

    def begin(self, run: RunContext) -> None:
        self._cadence.start(run.timestep)
        self._speed, self._written = Pace(), run.timestep

    def after_pretraining(self, run: RunContext) -> None:
        if self._cadence.due(run.timestep) or run.step >= run.pretrain_updates:
            write_line(describe_pretraining(run))

    def after_act(self, run: RunContext) -> None:
        self._speed.after_act(run)
        if self._cadence.due(run.timestep):
            self._write(run)

    def end(self, run: RunContext) -> None:
        if run.timestep > self._written:
            self._write(run)

    def _write(self, run: RunContext) -> None:
        speed, self._written = self._speed.since_last(run), run.timestep
        line = f"step {run.timestep}, update {run.step}, {describe(run)}"
        write_line(line if speed is None else f"{line}, {speed:.0f} steps/s")


class ProgressHook(Hook):
    """A progress bar of environment steps on the terminal.

    Args:
        console: of the terminal.
        refresh_secs: seconds between two looks.
        evaluates_every: environment steps between the run's evaluations, which what is left takes account of; None: it has
            none, or at other times.
    """

    def __init__(self, console: Console, refresh_secs: float = 0.5, evaluates_every: int | None = None):
        self._evaluates_every = evaluates_every
        self._cadence = Cadence(None, refresh_secs)
        self._progress = Progress(
            # All of it fits into 80 columns.
            BarColumn(bar_width=20),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[speed]}", table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True)),
            console=console,
            auto_refresh=False,
        )
        self._task: TaskID | None = None

    def begin(self, run: RunContext) -> None:
        limit = run.budget.timestep
        total = None if limit is None else max(limit, run.timestep)  # A run may be past a lower budget.
        self._task = self._progress.add_task("", total=total, completed=run.timestep, text="", speed="", left="")
        self._speed = Pace(self._evaluates_every)
        self._progress.start()

    def after_pretraining(self, run: RunContext) -> None:
        if self._cadence.due(run.timestep) or run.step >= run.pretrain_updates:
            assert self._task is not None
            self._progress.update(self._task, text=describe_pretraining(run))
            self._progress.refresh()

    def after_act(self, run: RunContext) -> None:
        self._speed.after_act(run)
        if self._cadence.due(run.timestep):
            self._show(run)

    def end(self, run: RunContext) -> None:
        self._show(run)

    def close(self) -> None:
        self._progress.stop()

    def _show(self, run: RunContext) -> None:
        speed = self._speed.since_last(run)
        assert self._task is not None
        left = self._speed.seconds_left(run)
        pace = "" if speed is None else f"{speed:.0f}/s"
        rest = "--:--" if left is None else clock(left)
        self._progress.update(self._task, completed=run.timestep, text=describe_rewards(run), speed=pace, left=rest)
        self._progress.refresh()
