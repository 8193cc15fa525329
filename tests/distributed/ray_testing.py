"""The processes of Ray, as the system lists them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from polyrl import Agent, GymEnvironment
from polyrl.distributed import RemoteActors
from polyrl.estimators.hooks import Hook


def processes(kind: str) -> list[int]:
    """The ids of those that hold an object of this class."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            title = (directory / "cmdline").read_text()
        except OSError:
            continue
        if title.startswith(f"ray::{kind}"):
            found.append(int(directory.name))
    return sorted(found)


def descendants(ancestor: int, name: str) -> list[int]:
    """The ids of the processes of that name that a process has started, or one of those that it started."""
    parents, names = {}, {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            status = (directory / "stat").read_text()
        except OSError:
            continue
        names[int(directory.name)] = status[status.index("(") + 1 : status.rindex(")")]
        parents[int(directory.name)] = int(status[status.rindex(")") + 2 :].split()[1])

    def line(process: int) -> list[int]:
        found = [process]
        while parents.get(found[-1], 0) > 0:
            found.append(parents[found[-1]])
        return found

    return sorted(process for process, title in names.items() if title == name and ancestor in line(process))


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
