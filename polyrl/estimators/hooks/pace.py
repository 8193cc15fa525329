"""How fast a run is, and how long what is left will take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from polyrl.estimators.hooks.context import RunContext


def working_time(run: RunContext) -> float:
    """Seconds on a clock that stands still while XLA compiles, and while the agent is evaluated, recorded or exported."""
    return time.monotonic() - run.compile_seconds - run.evaluation_seconds - run.aside_seconds


@contextlib.contextmanager
def aside(run: RunContext) -> Iterator[None]:
    """What the `with` block does is no training: it does not count for the speed."""
    started = time.monotonic()
    try:
        yield
    finally:
        run.aside_seconds += time.monotonic() - started


class Pace:
    """Environment steps a second, without the first iteration of a run, in which calls are traced.

    Compilations do not count for the speed, nor do evaluations, recordings and exports. For what is left the latter two take
    the share of the time that they have taken; evaluations are counted by their number and by how long the last one took:
    before the first one nothing is known of what is left.

    Args:
        evaluates_every: environment steps between evaluations; None: they take the share of the time that they have taken.
    """

    def __init__(self, evaluates_every: int | None = None) -> None:
        self._every = evaluates_every
        self._mark: tuple[float, int] | None = None
        self._first: tuple[float, int] | None = None
        self._evaluated: float | None = None
        self._evaluation: float | None = None

    def after_act(self, run: RunContext) -> None:
        if self._first is None:
            self._mark = self._first = self._stepping(run)
            self._before, self._evaluated = run.evaluation_seconds, run.evaluation_seconds
            self._aside = run.aside_seconds
        if run.evaluation_seconds != self._evaluated:
            assert self._evaluated is not None
            self._evaluation, self._evaluated = run.evaluation_seconds - self._evaluated, run.evaluation_seconds

    def since_last(self, run: RunContext) -> float | None:
        """Since the last look; None if there has been no step since."""
        before, self._mark = self._mark, self._stepping(run)
        if before is None or run.timestep == before[1]:
            return None
        return (run.timestep - before[1]) / max(self._mark[0] - before[0], 1e-9)

    def seconds_left(self, run: RunContext) -> float | None:
        """Until the budget of environment steps is spent, at the pace since the first look; None if it cannot be known."""
        if self._first is None or run.budget.timestep is None or run.timestep == self._first[1]:
            return None
        now, _ = self._stepping(run)
        seconds, steps = now - self._first[0] + run.aside_seconds - self._aside, run.timestep - self._first[1]
        evaluations = 0.0
        if self._every is None:
            seconds += run.evaluation_seconds - self._before
        elif to_come := max(run.budget.timestep // self._every - run.timestep // self._every, 0):
            if self._evaluation is None:
                return None
            evaluations = to_come * self._evaluation
        return max(run.budget.timestep - run.timestep, 0) * seconds / steps + evaluations

    def _stepping(self, run: RunContext) -> tuple[float, int]:
        return working_time(run), run.timestep
