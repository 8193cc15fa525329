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

    It begins and ends between iterations of the loop. Each is a step of the profile, numbered by the updates before it. With
    environments in the graph it has 500 environment steps, or 100 of each environment if that is more.

    Args:
        first: the update from which on (`global_step`). The first thousand are not those of a long run: calls are compiled.
        last: the update up to which; greater than `first`.
    """

    def __init__(self, first: int, last: int):
        self._first = check_int("first", first, minimum=0)
        self._last = check_int("last", last, minimum=self._first + 1)
        self._running = self._done = False
        self._iteration: tf.profiler.experimental.Trace | None = None

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

    def after_act(self, run: RunContext) -> None:
        if self._running:
            self._end_iteration()
            # Without marks of steps the profile's first page is a warning and zeros; `_r=1` says that this is one.
            self._iteration = tf.profiler.experimental.Trace("train", step_num=run.step, _r=1)
            self._iteration.__enter__()

    def close(self) -> None:
        if self._running:
            self._stop()

    def _end_iteration(self) -> None:
        if self._iteration is not None:
            self._iteration.__exit__(None, None, None)
            self._iteration = None

    def _stop(self) -> None:
        self._end_iteration()
        tf.profiler.experimental.stop()
        self._running, self._done = False, True
