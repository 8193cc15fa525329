"""`Improvement`: whether a run acts better in the middle of its budget than at its beginning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyrl.envs import Episode
from polyrl.estimators.hooks.context import RunContext

FIRST_SHARE, LOOK_SHARE = 0.1, 0.5
"""Of the budget: the first episodes are those that end before the one, the later ones those that ended last at the other."""

MOST, FEWEST = 100, 10
"""Episodes that are compared; with fewer nothing is said."""

LATEST = 5
"""So many evaluations are taken together."""

FEW_UPDATES = 1_000
"""After fewer gradient updates nothing is said."""

EXPLORING = 0.5
"""Above this exploration rate the training episodes say nothing of what is learned."""

ERRORS = 2.0
"""So many standard errors of the difference are no difference."""

NO_BETTER = "With half of its budget spent this run acts no better than at its beginning"


def is_better(later: float, later_error: float, first: Sequence[float]) -> bool:
    """Whether a mean return is larger than that of the first episodes, by more than chance may give.

    Args:
        later: a mean.
        later_error: its standard error.
        first: returns.
    """
    error = math.hypot(later_error, float(np.std(first)) / math.sqrt(len(first)))
    return later - float(np.mean(first)) > ERRORS * error


class Improvement:
    """Keeps the returns of the first episodes, and compares later ones with them, once.

    Where there are evaluations the last five of them tell, as one alone may be a bad one, unless training episodes have become
    better by far: an agent may be evaluated on another task. Episodes that are a little better need have learned nothing:
    weights that change all the time balance CartPole longer than random actions do.

    Nothing is said of a run that may have begun with trained weights, nor as long as it explores so much that only an
    evaluation could tell, and there is none.

    Args:
        begins_untrained: False of a run whose weights come from elsewhere.
    """

    def __init__(self, begins_untrained: bool = True):
        self._first: list[float] = []
        self._evaluations: list[float] = []
        self._seen: Mapping[str, float] | None = None
        self._is_open = begins_untrained

    def begin(self, run: RunContext) -> None:
        """A run that has begun without this, or with pre-training, has no first episodes to compare with."""
        if run.pretrain_updates or (run.timestep and not self._first):
            self._is_open = False

    def after_episode(self, run: RunContext, episode: Episode) -> str | None:
        """What is to be said of the run, in words; None as long as, or if, there is nothing."""
        share = spent(run)
        if not self._is_open or share is None:
            return None
        if run.last_evaluation is not None and run.last_evaluation is not self._seen:
            self._seen = run.last_evaluation
            self._evaluations = [*self._evaluations, self._seen["mean_reward"]][-LATEST:]
        if share <= FIRST_SHARE and len(self._first) < MOST:
            self._first.append(float(episode.reward))
            return None
        if 0 < run.step < FEW_UPDATES:
            return None  # Of a short run: it has learned for too short a time to tell. One that learns nothing at all is told.
        if share < LOOK_SHARE or (not self._evaluations and run.exploration_rate > EXPLORING):
            return None
        self._is_open = False
        returns = [each.reward for each in run.episodes]
        # So many as ended in about a tenth of the budget, as the first ones did.
        later = returns[-max(FEWEST, min(MOST, run.episode // 5)) :]
        if min(len(self._first), len(later)) < FEWEST or run.episode < len(self._first) + len(later):
            return None
        return self._compared(later)

    def get_state(self) -> dict[str, Any]:
        """As JSON values."""
        return {"first": self._first, "evaluations": self._evaluations, "is_open": self._is_open}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what `get_state` gave."""
        self._first, self._is_open = list(state["first"]), bool(state["is_open"])
        self._evaluations = list(state.get("evaluations", ()))  # Checkpoints of earlier versions have none.

    def _compared(self, later: Sequence[float]) -> str | None:
        mean, first = float(np.mean(later)), float(np.mean(self._first))
        before = f"that of the first {len(self._first)} training episodes was {first:.3g}"
        if not self._evaluations:
            if is_better(mean, float(np.std(later)) / math.sqrt(len(later)), self._first):
                return None
        else:
            evaluated = float(np.mean(self._evaluations))
            if is_better(evaluated, 0.0, self._first) or mean - first > np.std(self._first):
                return None
            count = len(self._evaluations)
            return (
                f"{NO_BETTER}, to judge by its evaluations: the mean return of the last "
                f"{'evaluation' if count == 1 else f'{count} evaluations'} is {evaluated:.3g}, {before} (of the last "
                f"{len(later)}: {mean:.3g})."
            )
        return f"{NO_BETTER}: the mean return of the last {len(later)} episodes is {mean:.3g}, {before}."


def spent(run: RunContext) -> float | None:
    """Which share of its budget a run has spent, of the part that ends first; None without a budget."""
    pairs = (run.timestep, run.budget.timestep), (run.step, run.budget.step), (run.episode, run.budget.episode)
    return max((done / end for done, end in pairs if end is not None), default=None)
