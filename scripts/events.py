"""A simulation of events: time, machines whose cores are shared, and processes that work on them."""

from __future__ import annotations

import collections
from collections.abc import Callable
import heapq
import itertools


class Clock:
    """Events by the time at which they happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Has something happen later."""
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), call))

    def run(self, until: float) -> None:
        """Lets time pass."""
        while self._events and self._events[0][0] <= until:
            self.now, _, call = heapq.heappop(self._events)
            call()
        self.now = until


class Machine:
    """Some cores, which all processes with work share evenly; none has more than one of them.

    Args:
        clock: of the simulation.
        cores: how many.
        contention: how many times as long the same work takes while all cores work; in between for some of them.
    """

    def __init__(self, clock: Clock, cores: int, contention: float = 1.0):
        self._clock, self._cores, self._contention = clock, cores, contention
        self._served = 0.0  # Seconds of work that each process with work has had.
        self._since = 0.0
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._version = 0
        self.busy = 0.0

    def work(self, seconds: float, then: Callable[[], None]) -> None:
        """A process works so long, on a core of its own; `then` happens when it is done."""
        self._catch_up()
        heapq.heappush(self._jobs, (self._served + seconds, next(self._numbers), then))
        self._plan()

    def _rate(self) -> float:
        if not self._jobs:
            return 0.0
        working = min(len(self._jobs), self._cores)
        longer = 1.0 + (self._contention - 1.0) * (working - 1) / max(self._cores - 1, 1)
        return working / len(self._jobs) / longer

    def _catch_up(self) -> None:
        passed = self._clock.now - self._since
        self.busy += passed * min(len(self._jobs), self._cores)
        self._served += passed * self._rate()
        self._since = self._clock.now

    def _plan(self) -> None:
        self._version += 1
        if self._jobs:
            version = self._version
            self._clock.after(max(self._jobs[0][0] - self._served, 0.0) / self._rate(), lambda: self._end(version))

    def _end(self, version: int) -> None:
        if version != self._version:
            return
        self._catch_up()
        _, _, then = heapq.heappop(self._jobs)
        self._plan()
        then()


class Process:
    """Does jobs one after another, on its machine."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self._jobs: collections.deque[tuple[float, Callable[[], None]]] = collections.deque()
        self._works = False
        self.busy = 0.0

    def do(self, seconds: float, then: Callable[[], None] = lambda: None) -> None:
        """Does something after what it has to do already."""
        self._jobs.append((seconds, then))
        self._next()

    def _next(self) -> None:
        if self._works or not self._jobs:
            return
        self._works = True
        seconds, then = self._jobs.popleft()
        self.busy += seconds

        def done() -> None:
            self._works = False
            then()
            self._next()

        self.machine.work(seconds, done)
