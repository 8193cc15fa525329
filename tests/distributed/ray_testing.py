"""The processes of Ray, as the system lists them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from polyrl import Agent, GymEnvironment
from polyrl.distributed import RemoteActors
from polyrl.estimators.hooks import Hook


def processes(kind: str, ancestor: int | None = None) -> list[int]:
    """The ids of those that hold an object of this class, started by a process, or by one that it started; None: by this one.

    Others are not this test's: they may be those of another run on the same machine.
    """
    return _descendants(os.getpid() if ancestor is None else ancestor, lambda _, title: title.startswith(f"ray::{kind}"))


def descendants(ancestor: int, name: str) -> list[int]:
    """The ids of the processes of that name that a process has started, or one of those that it started."""
    return _descendants(ancestor, lambda own, _: own == name)


def are_gone(ids: Collection[int]) -> bool:
    """Whether no process of Ray has one of these ids."""
    return not any(_read(Path("/proc") / str(process), "cmdline").startswith("ray::") for process in ids)


def _descendants(ancestor: int, is_meant: Callable[[str, str], bool]) -> list[int]:
    parents, meant = {}, []
    for directory in Path("/proc").glob("[0-9]*"):
        status, title = _read(directory, "stat"), _read(directory, "cmdline")
        if not status:
            continue
        process, end = int(directory.name), status.rindex(")")
        parents[process] = int(status[end + 2 :].split()[1])
        if is_meant(status[status.index("(") + 1 : end], title):
            meant.append(process)

    def line(process: int) -> list[int]:
        found = [process]
        while parents.get(found[-1], 0) > 0:
            found.append(parents[found[-1]])
        return found

    return sorted(process for process in meant if ancestor in line(process))


def _read(directory: Path, name: str) -> str:
    """What the system says of a process; nothing if it has ended."""
    try:
        return (directory / name).read_text()
    except OSError:
        return ""


def train_with_a_stopped_process(kind: str, agent: Agent, env: GymEnvironment) -> None:
    """A run with two actors in which a process of this class gets no time of a core for as long as 3,000 steps take."""

    class Stops(Hook):
        stopped: int | None = None

        def after_act(self, run: Any) -> None:
            if self.stopped is None and run.timestep >= 600:
                self.stopped = processes(kind)[-1]
                os.kill(self.stopped, signal.SIGSTOP)
            elif self.stopped and run.timestep >= 3_600:
                os.kill(self.stopped, signal.SIGCONT)
                self.stopped = 0

    actors, stops = RemoteActors(env, actors=2, steps=10, publish_every=20), Stops()
    result = agent.train(actors, first_update=100, max_timesteps=5_000, hooks=[stops])
    assert stops.stopped == 0
    assert result.stop_reason.startswith("budget of timesteps")
    assert result.global_step == result.global_timestep - 100
