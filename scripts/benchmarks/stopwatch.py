"""`Stopwatch`: environment steps per second of wall clock; and the line of JSON in which a worker says what it measured.

Needs the standard library only: the workers of all peers use it.
"""

from __future__ import annotations

from collections.abc import Callable
import importlib.metadata
import json
import os
import resource
import sys
import time
from typing import Any

STARTED = "BENCHMARK_STARTED"
"""The environment variable that holds when run.py started the process, in seconds since the epoch."""

_imported = time.time()


class Stopwatch:
    """Begins to time at the first tick at or after `warm_up` steps, and is done `seconds` later.

    Args:
        warm_up: environment steps.
        seconds: length of the window.
        done: called once with what was measured: `value` (steps per second), `steps`, `seconds`, and `cpu_share`, the part of
            the seconds in which this process had a core.
    """

    def __init__(self, warm_up: int, seconds: float, done: Callable[[dict[str, float]], None]):
        self._warm_up, self._seconds, self._done = warm_up, seconds, done
        self._start: tuple[int, float, float] | None = None
        self._steps = 0
        self.running = False

    def tick(self, steps: int) -> None:
        """Says that so many environment steps were taken in all."""
        if self._start is None:
            if steps >= self._warm_up:
                self._start, self.running = (steps, time.perf_counter(), time.process_time()), True
        elif self.running:
            seconds = time.perf_counter() - self._start[1]
            if seconds >= self._seconds:
                self.running = False
                taken, share = steps - self._start[0], (time.process_time() - self._start[2]) / seconds
                self._done({"value": taken / seconds, "steps": taken, "seconds": seconds, "cpu_share": round(share, 3)})

    def count(self, steps: int = 1) -> None:
        """Says that so many more environment steps are about to be taken."""
        self.tick(self._steps)
        self._steps += steps


def seconds_since_start() -> float:
    """Since this process was started, or since this module was imported if nobody told when that was."""
    return time.time() - float(os.environ.get(STARTED, _imported))


def report(*packages: str, **measured: Any) -> None:
    """Prints a line of JSON: what was measured, the process's peak memory, and the versions of packages."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KB.
    versions = {"python": sys.version.split()[0], **{name: importlib.metadata.version(name) for name in packages}}
    print("\n" + json.dumps({**measured, "peak_mb": round(peak, 1), "versions": versions}), flush=True)


def report_and_exit(*packages: str, **measured: Any) -> None:
    """The same, and ends the process at once, from wherever it is."""
    report(*packages, **measured)
    os._exit(0)
