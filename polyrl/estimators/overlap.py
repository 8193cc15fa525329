"""`OverlappedLoop`: the environments step while the learner runs on another core."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.envs import EnvDriver, Transitions
from polyrl.estimators.compiled import TrainingCalls
from polyrl.estimators.loops import Limits, Progress, PythonLoop, UpdateSchedule
from polyrl.models.scope import Scope


class OverlappedLoop(PythonLoop):
    """As its parent, but what a step gave is stored and learned from during the next step of the environments.

    So the actions are chosen without the update that belongs to the latest step: another run than without overlap, though the
    same one for the same seed.
    """

    def __init__(self, driver: EnvDriver, calls: TrainingCalls, scope: Scope, schedule: UpdateSchedule):
        super().__init__(driver, calls, scope, schedule)
        self._learner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="learner")
        self._pending: tuple[Transitions, int, int] | None = None

    def start(self, timestep: int) -> np.ndarray:
        self._pending = None
        return super().start(timestep)

    def advance(self, timestep: int, limits: Limits) -> Progress:
        learning = self._learner.submit(self._learn)
        try:
            transitions, episodes = self._driver.step(self._actions)
        finally:
            updates, loss = learning.result()  # Waited for even if the environments fail: nothing learns on behind the run.
        due = min(self._schedule.due(timestep, timestep + self.num_envs), limits.updates - updates)
        self._pending = (transitions, due, len(episodes))
        specs = [*tf.nest.flatten(self._states), tf.TensorSpec([self.num_envs], tf.bool), tf.TensorSpec([], tf.int64)]
        act = self._calls.compiled("act", lambda: (self._act, specs))
        begins = tf.constant(transitions.ended)
        # The counter lacks the steps that are pending.
        clock = tf.constant(timestep + self.num_envs, tf.int64)
        states = [tf.constant(values) for values in tf.nest.flatten(self._driver.state)]
        actions, rate = (output.numpy() for output in act(*states, begins, clock))
        self._actions = actions
        return Progress(self.num_envs, updates, loss, actions, float(rate), episodes)

    def flush(self) -> tuple[int, float]:
        return self._learn()

    def _learn(self) -> tuple[int, float]:
        """Stores and learns from what is pending; the updates done and their mean loss."""
        if self._pending is None:
            return 0, 0.0
        (transitions, updates, finished), self._pending = self._pending, None
        unrolled = self._calls.unrolled(updates)
        learn = self._calls.compiled(("learn", unrolled), lambda: (self._iteration(unrolled, acts=False), self._inputs.specs))
        (loss,) = learn(*self._packed([*transitions, transitions.next_state, updates, finished]))
        return updates, float(loss.numpy())

    def _act(self, *inputs: tf.Tensor) -> list[Any]:
        *states, begins, clock = inputs
        return list(self._calls.build_act(tf.nest.pack_sequence_as(self._states, states), begins, clock))
