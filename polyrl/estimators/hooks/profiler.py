"""`ProfilerHook`: TensorFlow's profile of some updates, for TensorBoard's profile dashboard."""

from __future__ import annotations

import logging

import tensorflow as tf

from polyrl.estimators.hooks.base import Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.validation import check_int

logger = logging.getLogger("polyrl")


class ProfilerHook(Hook):
    """Profiles from one update to another, into `model_dir/plugins/profile`, which `tensorboard-plugin-profile` shows.

    It begins and ends between iterations of the loop: with environments in the graph one has 500 environment steps.

    Args:
        first: the update from which on (`global_step`). The first thousand are not those of a long run: calls are compiled.
        last: the update up to which; greater than `first`.
    """

    def __init__(self, first: int, last: int):
        self._first = check_int("first", first, minimum=0)
        self._last = check_int("last", last, minimum=self._first + 1)
        self._running = self._done = False

    def begin(self, run: RunContext) -> None:
        self._done = run.step >= self._last
        self.after_update(run)

    def after_update(self, run: RunContext) -> None:
        if not self._done and not self._running and run.step >= self._first:
            tf.profiler.experimental.start(str(run.model_dir))
            self._running = True
        elif self._running and run.step >= self._last:
            self._stop()
            logger.info("Profile of the updates %d to %d: %s.", self._first, run.step, run.model_dir / "plugins" / "profile")

    def close(self) -> None:
        if self._running:
            self._stop()

    def _stop(self) -> None:
        tf.profiler.experimental.stop()
        self._running, self._done = False, True
