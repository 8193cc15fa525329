"""`OverlappedLoop`: the environments step while the learner runs on another core."""

from __future__ import annotations

import functools
import logging
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.envs import Transitions
from polyrl.estimators.loops.loop import IterationResult, Remaining, mean_loss
from polyrl.estimators.loops.python_loop import PythonLoop

logger = logging.getLogger("polyrl")

QUICK = 0.0005
"""Seconds of a step below which overlap does not pay: handing over between threads takes as long, see docs/performance.md."""

STEPS_TIMED = 200


class OverlappedLoop(PythonLoop):
    """Like `PythonLoop`, but a step's transitions are stored and learned from during the next step of the environments.

    So the actions are chosen without the update that belongs to the latest step: another run than without overlap, though the
    same one for the same seed.
    """

    def build(self) -> None:
        super().build()
        if self._learner.recurrence is not None:
            raise ValueError(
                "overlap=True stores a step when the next one has been acted in, and a recurrent network no longer knows what "
                "it remembered before; use overlap=False."
            )

    _pending: tuple[Transitions, int] | None = None

    @functools.cached_property
    def _seconds(self) -> list[float]:
        """How long the first steps of the environments took."""
        return []

    @functools.cached_property
    def _thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="learner")

    def start(self, timestep: int) -> np.ndarray:
        self._pending = None
        return super().start(timestep)

    def advance(self, timestep: int, remaining: Remaining, watch: bool = False) -> IterationResult:
        learning = self._thread.submit(self._learn, watch)
        began = time.perf_counter()
        try:
            transitions, episodes = self._step()
            self._note(time.perf_counter() - began)
        finally:
            learnt = learning.result()  # Waited for even if the environments fail: no update may run after the run has ended.
        due = min(self._schedule.due(timestep, timestep + self.num_envs), remaining.updates - learnt.updates)
        self._pending = (transitions, due)
        states = [tf.constant(values) for values in tf.nest.flatten(self._driver.state)]
        inputs = [*states, tf.constant(transitions.ended), tf.constant(len(episodes), tf.int32)]
        call = self._compiler.call("act", lambda: (self._act, [tf.TensorSpec(x.shape, x.dtype) for x in inputs]))
        actions, rate = (output.numpy() for output in call(*inputs))
        self._actions = actions
        return learnt._replace(timesteps=self.num_envs, actions=actions, exploration_rate=float(rate), episodes=episodes)

    def flush(self) -> tuple[int, float]:
        if self._pending is None:  # As before the first step.
            return 0, 0.0
        learnt = self._learn()
        return learnt.updates, learnt.loss

    def _note(self, seconds: float) -> None:
        """Says it once if the environments' steps are so quick that overlap slows the run down."""
        if len(self._seconds) == STEPS_TIMED:
            return
        self._seconds.append(seconds)
        if len(self._seconds) == STEPS_TIMED and (typical := statistics.median(self._seconds)) < QUICK:
            logger.warning(
                "overlap=True: a step of the environments takes %.0f microseconds, less than it costs to learn beside it; the "
                "run is faster with overlap=False.",
                1e6 * typical,
            )

    def _learn(self, watch: bool = False) -> IterationResult:
        """Stores and learns from what is pending."""
        result = IterationResult(0, 0, 0.0, self._actions, float("nan"), [])
        if self._pending is None:
            return result
        (transitions, updates), self._pending = self._pending, None
        before = self._snapshot() if watch and updates else None
        unrolled = self._unrolled(updates)
        call = self._compiler.call(("learn", unrolled), lambda: (self._store_and_learn(unrolled), self._inputs.specs))
        inputs = self._packed([*transitions, transitions.next_state, updates, 0])
        loss, *drawn = (output.numpy() for output in call(*inputs))
        return self._summarized(result._replace(updates=updates, loss=float(loss)), before, drawn)

    def _store_and_learn(self, unrolled: int | None) -> Callable[..., list[tf.Tensor]]:
        def store_and_learn(*inputs: tf.Tensor) -> list[tf.Tensor]:
            transitions, _, updates, _ = self._unpacked(inputs)
            self._learner.store(transitions)
            done = self._learner.updates(updates if unrolled is None else unrolled)
            return [mean_loss(done), *done.drawn.values()]

        return store_and_learn

    def _act(self, *inputs: tf.Tensor) -> list[Any]:
        """Counts the step that is pending, so that exploration goes by it, and acts."""
        *states, is_first, finished = inputs
        self._learner.count(self.num_envs, finished)
        structure = self._structure[0]
        return list(self._learner.act(tf.nest.pack_sequence_as(structure, states), is_first))
