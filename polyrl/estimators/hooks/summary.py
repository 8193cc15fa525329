"""The hook that writes TensorBoard's panels while training."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from polyrl.estimators.budget import Budget
from polyrl.estimators.hooks.base import Cadence, Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.estimators.hooks.pace import working_time
from polyrl.summaries import Summaries, SummaryOptions

FREE = 10
"""So many writes of histograms and images come at their cadence whatever they cost, so that a short run has its panels: one of
the first takes many times as long as those that follow.
"""

POINTS, SHORTEST, LONGEST, OPEN = 200, 500, 10_000, 1_000
"""By default so many writes of scalars in a run, but not more often than the shortest and not less often than the longest
number of environment steps; so often in a run whose length is not known."""


class SummaryHook(Hook):
    """Writes scalars and histograms to the run's `model_dir`; the x-axis is `global_timestep` (environment steps).

    During pre-training it writes only the loss; its x-axis is `global_step` (updates).

    Args:
        every_timesteps: see `Cadence`; `'auto'`: see `summary_cadence`.
        every_secs: see `Cadence`.
        max_share: of histograms and images, see `Cadence`; scalars are never put off.
    """

    def __init__(self, every_timesteps: int | str | None, every_secs: float | None, max_share: float | None = None):
        self._cadence = every_timesteps, every_secs
        self._max_share = max_share
        self._loss_sum, self._losses = 0.0, 0
        self._written = -1

    def begin(self, run: RunContext) -> None:
        timesteps, seconds = self._cadence
        every = summary_cadence(run.budget) if isinstance(timesteps, str) else timesteps
        self._scalars = Cadence(every, seconds)
        self._large = Cadence(every, seconds, self._max_share, free=FREE)
        self._scalars.start(run.timestep)
        self._large.start(run.timestep)
        self._started = time.monotonic()
        self._mark(run)

    def after_pretraining(self, run: RunContext) -> None:
        if SummaryOptions.LOSS in run.summary_options:
            run.write_scalars({"pretrain/loss": run.loss})
        self._loss_sum, self._losses = 0.0, 0
        self._mark(run)

    def after_act(self, run: RunContext) -> None:
        if self._scalars.due(run.timestep):
            self._write_run(run)
            self._loss_sum, self._losses, self._written = 0.0, 0, run.timestep
            self._mark(run)
            run.request_summaries()

    def after_summaries(self, run: RunContext, summaries: Summaries) -> None:
        run.write_scalars(summaries.numbers())
        if (summaries.histograms or summaries.images) and self._large.due(run.timestep):
            started = time.monotonic()
            summaries.write_large(run.writer, run.timestep)
            self._large.took(time.monotonic() - started)

    def after_update(self, run: RunContext) -> None:
        self._loss_sum += run.loss
        self._losses += 1

    def end(self, run: RunContext) -> None:
        if self._written != run.timestep:
            self._write_run(run)  # The state stays: for a resumed run, this was not the end, and the point is superseded.

    def get_state(self) -> dict[str, Any]:
        return {"loss_sum": self._loss_sum, "losses": self._losses, "written": self._written}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._loss_sum, self._losses = float(state["loss_sum"]), int(state["losses"])
        self._written = int(state.get("written", -1))

    def _mark(self, run: RunContext) -> None:
        self._time, self._timestep, self._step = working_time(run), run.timestep, run.step

    def _write_run(self, run: RunContext) -> None:
        seconds = max(working_time(run) - self._time, 1e-9)
        values: dict[str, float] = {}
        if run.timestep > self._timestep:
            values["time/fps"] = (run.timestep - self._timestep) / seconds
            values["time/updates_per_sec"] = (run.step - self._step) / seconds
        values |= {
            "time/episodes": run.episode,
            "time/time_elapsed": time.monotonic() - self._started,
            "train/n_updates": run.step,
            "replay/size": run.stored,
        }
        if self._losses > 0 and SummaryOptions.LOSS in run.summary_options:
            values["train/loss"] = self._loss_sum / self._losses
        if run.episodes and SummaryOptions.REWARD in run.summary_options:
            rewards = [episode.reward for episode in run.episodes]
            values["rollout/ep_rew_mean"] = float(np.mean(rewards))
            values["rollout/ep_rew_min"] = float(np.min(rewards))
            values["rollout/ep_rew_max"] = float(np.max(rewards))
            values["rollout/ep_len_mean"] = float(np.mean([episode.length for episode in run.episodes]))
        if SummaryOptions.EXPLORATION in run.summary_options and np.isfinite(run.exploration_rate):
            values["rollout/exploration_rate"] = run.exploration_rate
        run.write_scalars(values)
        run.writer.flush()


def summary_cadence(budget: Budget) -> int:
    """Environment steps between two writes of scalars if nothing else is said: a two-hundredth of the run, within bounds.

    Of a run that ends after some updates, these are taken for environment steps.
    """
    length = budget.timestep if budget.timestep is not None else budget.step
    return OPEN if length is None else min(max(length // POINTS, SHORTEST), LONGEST)
