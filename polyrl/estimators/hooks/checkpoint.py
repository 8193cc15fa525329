"""The hook that asks for checkpoints."""

from __future__ import annotations

import logging
from pathlib import Path

from polyrl.estimators.hooks.base import Cadence, Hook
from polyrl.estimators.hooks.context import RunContext

logger = logging.getLogger("polyrl")


class CheckpointHook(Hook):
    """Requests checkpoints at a cadence of environment steps or seconds, and after pre-training; the run writes them at the
    iteration's end. That they come less often, as they would take more than `max_share` of the time, is told once.

    See `Cadence` for the arguments; `tells`: whether that is told.
    """

    def __init__(
        self,
        every_timesteps: int | None,
        every_secs: float | None,
        max_share: float | None = None,
        at_multiples: bool = False,
        tells: bool = True,
    ):
        self._cadence = Cadence(every_timesteps, every_secs, max_share, at_multiples)
        self._every_timesteps, self._max_share, self._is_told = every_timesteps, max_share, not tells

    def begin(self, run: RunContext) -> None:
        self._cadence.start(run.timestep)

    def after_pretraining(self, run: RunContext) -> None:
        if run.step >= run.pretrain_updates or self._cadence.due(run.timestep):
            run.request_checkpoint()

    def after_act(self, run: RunContext) -> None:
        if self._cadence.due(run.timestep):
            run.request_checkpoint()
        if self._cadence.has_put_off and not self._is_told:
            self._is_told = True
            logger.info(
                "Checkpoints come less often than every %s steps: the last took %.2g s, and they may take %g %% of the time "
                "(max_overhead).",
                f"{self._every_timesteps:,}",
                run.checkpoint_seconds,
                100.0 * (self._max_share or 0.0),
            )

    def after_checkpoint(self, run: RunContext, path: Path) -> None:
        self._cadence.took(run.checkpoint_seconds)
