"""`Lives`: which processes of a run have died, and when they are to begin again."""

from __future__ import annotations

import collections
import time
from typing import NamedTuple

PATIENCE = 0.2
"""Seconds between two tries to have a process begin that died."""

GIVEN_UP = 300.0
"""Seconds in which a process dies again and again, and gives nothing, after which the run ends."""

DEATHS = 5
"""How often it dies in them, at least: two deaths may have an evaluation of any length between them."""


class Process(NamedTuple):
    """An `"actor"` or a `"shard"`, and its number among those."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind.capitalize()} {self.number}"


class Lives:
    """Each process has a life for each time that it began. An answer of an earlier life is known by that life's number."""

    def __init__(self) -> None:
        self._lives: collections.Counter[Process] = collections.Counter()
        self._later: dict[Process, float] = {}  # When those that died are to begin again.
        self._died: dict[Process, list[float]] = {}  # When a process has died since it gave something.

    def of(self, process: Process) -> int:
        """The number of the life that a process has, or is to begin."""
        return self._lives[process]

    def begin_another(self, process: Process) -> None:
        """A process is to begin again without having died."""
        self._lives[process] += 1

    def note_death(self, process: Process) -> bool:
        """Counts a life more, which begins after `PATIENCE`; whether there is hope that it will."""
        now = time.monotonic()
        self._lives[process] += 1
        self._later[process] = now + PATIENCE
        died = self._died.setdefault(process, [])
        died.append(now)
        return len(died) < DEATHS or now - died[0] <= GIVEN_UP

    def note_work(self, process: Process) -> None:
        """A process has given something."""
        self._died.pop(process, None)

    def waits(self, process: Process) -> bool:
        """Whether a process has died, and has not been told to begin again yet."""
        return process in self._later

    def due(self) -> list[Process]:
        """The processes that are to begin again now; each is given once."""
        due = [process for process, at in self._later.items() if at <= time.monotonic()]
        for process in due:
            del self._later[process]
        return due
