"""Hooks that end a run: by budget, or because the loss is not finite, or would rise."""

from __future__ import annotations

import math

from polyrl.errors import NonFiniteError
from polyrl.estimators.hooks.base import Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.summaries import Summaries


class StopHook(Hook):
    """Stops when the run's budget is used up, also in the middle of an episode."""

    def after_act(self, run: RunContext) -> None:
        reason = run.budget.reached(run.step, run.timestep, run.episode)
        if reason is not None:
            run.request_stop(reason)


class NanHook(Hook):
    """Raises as soon as the loss is NaN or infinite, and where panels show a learning rate below 0."""

    def after_update(self, run: RunContext) -> None:
        if not math.isfinite(run.loss):
            raise NonFiniteError(
                f"The loss is {run.loss} at update {run.step} (environment step {run.timestep}, "
                f"last actions {run.actions.tolist()}). The checkpoints written before it are as they were. A smaller "
                "learning rate or reward scale, or clip_gradients, may help; so may a look at a schedule of your own, "
                "and at the size of the states: networks like numbers of about 1."
            )

    def after_summaries(self, run: RunContext, summaries: Summaries) -> None:
        for tag, value in summaries.numbers().items():
            if tag.endswith("train/learning_rate") and value < 0.0:
                raise ValueError(
                    f"The learning rate is {value:g} at update {run.step}: its schedule must not go below 0, or the loss "
                    "would rise. The checkpoints written before it are as they were."
                )
