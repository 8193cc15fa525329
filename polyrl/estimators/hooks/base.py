"""`Hook`: code that runs at named phases of training."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyrl.envs import Episode
from polyrl.estimators.hooks.context import RunContext
from polyrl.summaries import Summaries

PHASES = (
    "begin",
    "after_pretraining",
    "after_update",
    "after_episode",
    "after_act",
    "after_summaries",
    "after_checkpoint",
    "end",
)


class Hook:
    """Override the phases you need; those left alone cost nothing.

    In one iteration of the loop the environments step, the transitions are stored, the updates are done, and the next actions
    are chosen. Then `after_update` (if there was one), `after_episode` (once for each that ended) and `after_act` run, for
    each phase all hooks in their order. A checkpoint that a hook requests is written after them all.

    With environments in the graph an iteration is 1,000 environment steps, or 100 of each environment if that is more.
    """

    def begin(self, run: RunContext) -> None:
        """Before the first iteration, after a checkpoint was restored."""

    def after_pretraining(self, run: RunContext) -> None:
        """In pre-training, after each call of up to 100 updates (and `after_update`); `run.timestep` is 0 still."""

    def after_update(self, run: RunContext) -> None:
        """In an iteration that did one or more gradient updates."""

    def after_episode(self, run: RunContext, episode: Episode) -> None:
        """For each episode that ended in this iteration, terminated or truncated."""

    def after_act(self, run: RunContext) -> None:
        """In every iteration: the environments stepped, the next actions are chosen."""

    def after_summaries(self, run: RunContext, summaries: Summaries) -> None:
        """After an iteration with the model's panels of an update that it did, if `request_summaries` was called before it."""

    def after_checkpoint(self, run: RunContext, path: Path) -> None:
        """After a checkpoint was written."""

    def end(self, run: RunContext) -> None:
        """After the last iteration, before the final checkpoint; not after an error."""

    def close(self) -> None:
        """Always, also after an error: give back what was taken."""

    def get_state(self) -> dict[str, Any]:
        """What a resumed run needs of this hook, as plain JSON values."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what `get_state` gave."""


class Cadence:
    """Every so many environment steps, or seconds, or both, whichever comes first.

    By steps it is due when a multiple of `every_timesteps` is passed: a resumed run keeps the same rhythm.

    Args:
        every_timesteps: environment steps; None: not by steps.
        every_secs: seconds; None: not by time.
        max_share: the largest share of the run's time that what is done may take, as told to `took`: it is put off as long as
            it would take more. None: it is never put off.
    """

    def __init__(self, every_timesteps: int | None, every_secs: float | None = None, max_share: float | None = None):
        self._every_timesteps = every_timesteps
        self._every_secs = every_secs
        self._max_share = max_share
        self._timestep = 0
        self._time = self._not_before = time.monotonic()

    def start(self, timestep: int) -> None:
        """Begins to count at `timestep`."""
        self._timestep, self._time = timestep, time.monotonic()

    def due(self, timestep: int) -> bool:
        """Whether it is time; counts on from here if so."""
        every = self._every_timesteps
        by_steps = every is not None and timestep // every > self._timestep // every
        by_time = self._every_secs is not None and time.monotonic() - self._time >= self._every_secs
        due = (by_steps or by_time) and time.monotonic() >= self._not_before
        if due:
            self.start(timestep)
        return due

    def took(self, seconds: float) -> None:
        """Notes what was done, and how long it took."""
        if self._max_share is not None:
            self._not_before = time.monotonic() + seconds / self._max_share


def checked_hooks(name: str, hooks: Any) -> list[Hook]:
    """The hooks as a list; None are none. A TypeError for anything else, with its name."""
    if hooks is not None and (isinstance(hooks, (str, Hook)) or not isinstance(hooks, Sequence)):
        raise TypeError(f"{name}={hooks!r} must be a list or tuple of hooks.")
    for hook in hooks or ():
        if not isinstance(hook, Hook):
            hint = f" Make one: {hook.__name__}(...)." if isinstance(hook, type) and issubclass(hook, Hook) else ""
            raise TypeError(f"{name}: {hook!r} must be a Hook.{hint}")
    return list(hooks or ())
