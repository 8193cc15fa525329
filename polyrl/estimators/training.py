"""`TrainingRun`: one call of `Agent.train`. Counters, hooks, budget, signals, checkpoints."""

from __future__ import annotations

import collections
import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.envs import Episode
from polyrl.envs.gym import EnvLike
from polyrl.estimators.budget import Budget
from polyrl.estimators.checkpoints.fitting import check_can_be_saved
from polyrl.estimators.checkpoints.saving import Saver
from polyrl.estimators.divergence import divergence_named
from polyrl.estimators.hooks import Hook
from polyrl.estimators.hooks.base import check_returns_nothing, hook_states, phases
from polyrl.estimators.loops.loop import IterationResult, Remaining
from polyrl.estimators.model_fn import check_counted
from polyrl.estimators.rescue import may_leave, rescued, whole_steps
from polyrl.estimators.run_state import named, restore_run, run_state
from polyrl.estimators.signals import RunInterrupted, interruptible
from polyrl.estimators.training_result import TrainingResult

WINDOW = 100
"""Episodes that the rolling statistics look back on."""

PRETRAIN_CHUNK = 100
"""Updates of one call in pre-training: hooks and signals are waited for that long."""


class TrainingRun:
    """What a run has done so far, and what its hooks see of it: the attributes of `RunContext`.

    Args:
        saver: writes the checkpoints of its models, memory and environments.
        restart_every: environments that can only be reset start new episodes at each multiple of this number of environment
            steps; None: at each checkpoint; 0: never, and a resumed run is not the run that was not interrupted.
        budget: when the run ends.
        hooks: in their order.
        restored: the state of the checkpoint that the run resumes from, or None.
        evaluate: evaluates the present weights: `evaluate(env, episodes, name, check)`, with `check()` before each step.
        play: the same for `play(env, episodes, stream, check)`, which writes nothing.
        summary_options: the groups of panels that the model asks for.
        pretrain_updates: gradient updates before the first environment step.
    """

    def __init__(
        self,
        *,
        saver: Saver,
        restart_every: int | None,
        budget: Budget,
        hooks: Sequence[Hook],
        restored: Mapping[str, Any] | None,
        evaluate: Callable[[EnvLike, int, str | None, Callable[[], None]], dict[str, float]],
        play: Callable[[EnvLike, int, str, Callable[[], None]], dict[str, float]],
        summary_options: tuple[str, ...],
        pretrain_updates: int = 0,
    ):
        self._saver, self._scope, self._memory, self._loop = saver, saver.scope, saver.memory, saver.loop
        self.model_dir, self.budget = saver.checkpoints.model_dir, budget
        self._ends = tuple(2**62 if end is None else end for end in (budget.timestep, budget.step, budget.episode))
        counters = (self._scope.global_step, self._scope.global_timestep, self._scope.global_episode)
        self.step, self.timestep, self.episode = (int(counter.numpy()) for counter in counters)
        self.loss, self.exploration_rate = 0.0, float("nan")
        self.actions = np.zeros(0, np.int32)
        self.episodes: collections.deque[Episode] = collections.deque(maxlen=WINDOW)
        self.last_evaluation: dict[str, float] | None = None
        self.pretrain_updates, self.summary_options = pretrain_updates, summary_options
        self.checkpoint_seconds = self.summary_seconds = self.evaluation_seconds = self.aside_seconds = 0.0
        self.restarts = self.wants_summaries = self._wants_checkpoint = self._counted = False
        self._stop_reason: str | None = None
        self._signal: int | None = None
        self._evaluate, self._play = evaluate, play
        self._restart_every = restart_every if self._loop.resets_environments else 0
        self._hooks = list(hooks)
        self._phases = phases(self._hooks)
        self._saved = (0, 0) if restored is None else (self.step, self.timestep)
        if restored is not None:
            restore_run(self, self._hooks, restored)

    # For hooks. ---------------------------------------------------------------------------------------------------------

    @property
    def writer(self) -> tf.summary.SummaryWriter:
        return self._saver.events.writer("")

    def write_scalars(self, values: Mapping[str, float]) -> None:
        self._saver.events.write_scalars(values, self.timestep, self.step)

    @property
    def stored(self) -> int:
        self._sync()
        return int(self._memory.stored().numpy())

    @property
    def best_score(self) -> float | None:
        return self._saver.checkpoints.best_score()

    def request_stop(self, reason: str) -> None:
        self._stop_reason = reason if self._stop_reason is None else self._stop_reason

    def request_checkpoint(self) -> None:
        self._wants_checkpoint = True

    def request_summaries(self) -> None:
        self.wants_summaries = True

    def evaluate(self, env: EnvLike, episodes: int, name: str | None = None) -> dict[str, float]:
        self._sync()
        started = time.monotonic()
        self.last_evaluation = self._evaluate(env, episodes, name, self._check_uninterrupted)
        self.evaluation_seconds += time.monotonic() - started
        return self.last_evaluation

    @property
    def compile_seconds(self) -> float:
        return self._loop.compile_seconds

    def play(self, env: EnvLike, stream: str) -> None:
        self._sync()
        self._play(env, 1, stream, self._check_uninterrupted)

    def save_best(self, score: float) -> Path | None:
        # Without one to resume from, the best one would be all that a run leaves that dies now.
        self._sync() if self._saver.checkpoints.latest() is not None else self._save(may_restart=False)
        return self._saver.save_best(self._state(), score)

    # For the loop. ------------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether no stop has been requested."""
        return self._stop_reason is None

    @property
    def pretraining(self) -> bool:
        """Whether updates on the demonstrations alone are left to do."""
        return self.running and self.timestep == 0 and self.step < self.pretrain_updates

    @property
    def known_updates(self) -> int:
        """The updates done, and those that are known to come."""
        return max(self.step, self.pretrain_updates)

    @property
    def remaining(self) -> Remaining:
        """What the budget leaves."""
        timesteps, steps, episodes = self._ends
        return Remaining(timesteps - self.timestep, steps - self.step, episodes - self.episode)

    def next_pretraining_updates(self) -> int:
        """How many updates the next call of pre-training does: to a multiple of 100, wherever an interruption was."""
        return min(PRETRAIN_CHUNK - self.step % PRETRAIN_CHUNK, self.pretrain_updates - self.step, self.remaining.updates)

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """From the hooks' beginning to their end and the final checkpoint. For errors see `polyrl.estimators.rescue`."""
        with contextlib.ExitStack() as stack:
            # Each is closed, in their order, even if one before it raises.
            for hook in reversed(self._hooks):
                stack.callback(hook.close)
            with interruptible(self._interrupted, may_leave):
                self._call("begin")
                hook_states(named(self._hooks))  # What cannot be saved is refused before there is something to lose.
                check_can_be_saved(self._scope, self._memory)
                self._check_budget()
                if self.running:
                    self._saver.checkpoints.reopen()
                is_whole = False
                with (
                    rescued(self._rescue, lambda: self._signal is not None),
                    divergence_named(self._scope, self._loop.write_back),
                ):
                    yield
                    is_whole = True
                self.restarts = self.restarts or not is_whole
                self._saver.mark_events()
                self._call("end")
                self._save(required=True)

    def record(self, result: IterationResult) -> None:
        """Notes what an iteration did, and calls the hooks for it."""
        self.actions, self.exploration_rate = result.actions, result.exploration_rate
        before, self.timestep = self.timestep, self.timestep + result.timesteps
        # Whether or not a checkpoint is written there: that depends on the time, and the run must not.
        every = self._restart_every
        self.restarts = every is not None and every > 0 and self.timestep // every > before // every
        self.episode += len(result.episodes)
        self._count(result.updates, result.loss)
        if result.updates and not self._counted:
            self._counted = True
            self._loop.write_back()  # And no more: what is shown of the run does not depend on where it was resumed.
            check_counted(self._scope, self.step)
        for episode in result.episodes:
            self.episodes.append(episode)
            self._call("after_episode", episode)
        self._call("after_act")
        if result.summaries is not None:
            self.wants_summaries, self.summary_seconds = False, result.summary_seconds
            self._call("after_summaries", result.summaries)
        if self._wants_checkpoint:
            self._save()

    def record_pretraining(self, updates: int, loss: float) -> None:
        """Notes what a call of pre-training did, and calls the hooks for it."""
        self._count(updates, loss)
        self._call("after_pretraining")
        self._check_budget()
        if self._wants_checkpoint:
            self._save()

    def result(self) -> TrainingResult:
        """How the run ended."""
        assert self._stop_reason is not None
        assert self._saver.last is not None
        return TrainingResult(self.step, self.timestep, self.episode, self._stop_reason, self._signal, self._saver.last)

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _interrupted(self, number: int) -> None:
        self._signal = number
        self.request_stop(f"interrupted by {signal.Signals(number).name}")

    def _check_uninterrupted(self) -> None:
        if self._signal is not None:
            raise RunInterrupted

    def _rescue(self, in_step: bool) -> Path | None:
        """Saves the run as of its last whole step, if that is not saved yet; gives the checkpoint, if it is of this call.

        `in_step` says whether the environments are in the middle of a step: then they start new episodes.
        """
        self._sync()
        self.step = whole_steps(self._scope, self.timestep)
        self.restarts = self.restarts or in_step
        if self._saved != (self.step, self.timestep):
            self._save(required=True)
        return self._saver.last

    def _sync(self) -> None:
        """Brings all variables up to date with the run."""
        updates, loss = self._loop.sync()
        self._count(updates, loss)

    def _count(self, updates: int, loss: float) -> None:
        if updates:
            self.step, self.loss = self.step + updates, loss
            self._call("after_update")

    def _check_budget(self) -> None:
        spent = self.budget.reached(self.step, self.timestep, self.episode)
        if spent is not None:
            self.request_stop(spent)

    def _call(self, phase: str, *arguments: Any) -> None:
        for take_part in self._phases[phase]:
            try:
                check_returns_nothing(take_part, take_part(self, *arguments))
            except RunInterrupted:
                continue  # The other hooks have their turn.
            except tf.errors.OpError as error:
                if not self._saver.events.cannot_write(error):
                    raise

    def _save(self, required: bool = False, may_restart: bool = True) -> None:
        self._wants_checkpoint = False
        self._sync()
        started = time.monotonic()
        if self._restart_every is None and may_restart:
            self.restarts = True
        if self.restarts:
            self._memory.start_episodes()
        cannot_go_on = self._loop.resets_environments and self._restart_every in (None, 0)
        new_episodes = self.restarts or cannot_go_on
        path = self._saver.save(self._state(), new_episodes, required)
        self.checkpoint_seconds = time.monotonic() - started
        if path is not None:
            self._saved = (self.step, self.timestep)
            self._call("after_checkpoint", path)

    def _state(self) -> dict[str, Any]:
        """All that a resumed run, or one that follows it, needs and no variable holds.

        `spent` says whether the budget is used up; `ended`, why a hook ended the run before, or None, also after a signal.
        """
        spent = self.budget.reached(self.step, self.timestep, self.episode) is not None
        ended = None if spent or self._signal is not None else self._stop_reason
        return {**run_state(self, self._hooks), "ended": ended, "spent": spent}
