"""The hook that asks for checkpoints."""

from __future__ import annotations

from pathlib import Path

from polyrl.estimators.hooks.base import Cadence, Hook
from polyrl.estimators.hooks.context import RunContext


class CheckpointHook(Hook):
    """Requests checkpoints at a cadence of environment steps or seconds, and after pre-training; the run writes them at the
    iteration's end.

    See `Cadence` for the arguments.
    """

    def __init__(
        self,
        every_timesteps: int | None,
        every_secs: float | None,
        max_share: float | None = None,
        at_multiples: bool = False,
    ):
        self._cadence = Cadence(every_timesteps, every_secs, max_share, at_multiples)

    def begin(self, run: RunContext) -> None:
        self._cadence.start(run.timestep)

    def after_pretraining(self, run: RunContext) -> None:
        if run.step >= run.pretrain_updates or self._cadence.due(run.timestep):
            run.request_checkpoint()

    def after_act(self, run: RunContext) -> None:
        if self._cadence.due(run.timestep):
            run.request_checkpoint()

    def after_checkpoint(self, run: RunContext, path: Path) -> None:
        self._cadence.took(run.checkpoint_seconds)
