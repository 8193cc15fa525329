"""`TrainingRun`: the loop. Act, store, learn; hooks at named phases."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.envs import Episode
from polyrl.envs.gym import EnvLike
from polyrl.estimators.budget import Budget
from polyrl.estimators.checkpoints import CheckpointManager
from polyrl.estimators.compiled import TrainingCalls
from polyrl.estimators.hooks import Hook
from polyrl.estimators.hooks.base import PHASES
from polyrl.estimators.inputs import describe_state
from polyrl.estimators.loops import Limits, Loop
from polyrl.models.scope import Scope
from polyrl.replay import Replay
from polyrl.summaries import Summaries, write_evaluation

logger = logging.getLogger("polyrl")

WINDOW = 100
"""Episodes that the rolling statistics look back on."""

PRETRAIN_CHUNK = 100
"""Updates of one call in pre-training: hooks and signals are waited for that long."""

_UNLIMITED = 2**62


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How a call of `train` ended: the counters, why it stopped, by which signal if by one, and the last checkpoint."""

    global_step: int
    global_timestep: int
    global_episode: int
    stop_reason: str
    signal: int | None
    checkpoint: Path


class TrainingRun:
    """One call of `Agent.train`, and what its hooks see of it.

    Attributes:
        step: gradient updates done (`global_step`).
        timestep: environment steps taken (`global_timestep`).
        episode: episodes ended (`global_episode`).
        loss: mean loss of the last iteration that learned.
        actions: the actions just chosen, `[N]`.
        exploration_rate: the last one used; NaN if the model has none.
        episodes: the last 100 episodes.
        last_evaluation: result of the last evaluation, or None.
        pretrain_updates: gradient updates before the first environment step.
        checkpoint_seconds: how long the last checkpoint took to write.
    """

    def __init__(
        self,
        *,
        loop: Loop,
        calls: TrainingCalls,
        scope: Scope,
        memory: Replay,
        checkpoints: CheckpointManager,
        budget: Budget,
        hooks: Sequence[Hook],
        restored: dict[str, Any] | None,
        evaluate: Callable[[EnvLike, int], dict[str, float]],
        writer: Callable[[], tf.summary.SummaryWriter],
        jit: str,
        pretrain_updates: int = 0,
    ):
        self.checkpoints = checkpoints
        self.model_dir = checkpoints.model_dir
        self.budget = budget
        limits = (budget.timestep, budget.step, budget.episode)
        self._last = tuple(_UNLIMITED if limit is None else limit for limit in limits)
        self.step = int(scope.global_step.numpy())
        self.timestep = int(scope.global_timestep.numpy())
        self.episode = int(scope.global_episode.numpy())
        self.loss = 0.0
        self.actions = np.zeros(loop.num_envs, np.int32)
        self.exploration_rate = float("nan")
        self.episodes: collections.deque[Episode] = collections.deque(maxlen=WINDOW)
        self.last_evaluation: dict[str, float] | None = None
        self.checkpoint_seconds = 0.0
        self._loop, self._calls, self._scope, self._memory = loop, calls, scope, memory
        self._hooks = list(hooks)
        # A hook takes part in the phases it overrides, in no others.
        self._phases = {
            phase: [hook for hook in self._hooks if getattr(type(hook), phase) is not getattr(Hook, phase)] for phase in PHASES
        }
        self._evaluate, self._writer, self._jit = evaluate, writer, jit
        self.pretrain_updates = pretrain_updates
        self._stop_reason: str | None = None
        self._signal: int | None = None
        self._wants_checkpoint = False
        if restored is not None:
            self._restore(restored)

    # For hooks. ---------------------------------------------------------------------------------------------------------

    @property
    def summary_options(self) -> tuple[str, ...]:
        """The groups of panels the model asks for."""
        return self._calls.summary_options

    @property
    def writer(self) -> tf.summary.SummaryWriter:
        """Writes to the TensorBoard run of `model_dir`."""
        return self._writer()

    def request_stop(self, reason: str) -> None:
        """Ends the run after this iteration; the first reason given is the one reported."""
        if self._stop_reason is None:
            self._stop_reason = reason

    def request_checkpoint(self) -> None:
        """Writes a checkpoint at the end of this iteration."""
        self._wants_checkpoint = True

    @property
    def stored(self) -> int:
        """Transitions in the memory."""
        self._sync()
        return int(self._memory.stored().numpy())

    def summarize(self) -> Summaries:
        """What the model's panels show of the next update, which is not done; there must have been one before."""
        self._sync()
        return self._calls.summaries()

    def evaluate(self, env: EnvLike, episodes: int) -> dict[str, float]:
        """Evaluates the present weights on environments of their own, and writes the result to TensorBoard."""
        self._sync()
        self.last_evaluation = self._evaluate(env, episodes)
        write_evaluation(self.writer, self.last_evaluation)
        return self.last_evaluation

    def save_best(self, score: float) -> Path:
        """Keeps the present weights as the best so far."""
        self._sync()
        return self.checkpoints.save_best(self._scope, self._state(), score)

    # The loop. ----------------------------------------------------------------------------------------------------------

    def execute(self) -> TrainingResult:
        """Runs until a hook or a signal asks for a stop, then writes a checkpoint.

        An error leaves the checkpoints as they are.
        """
        with contextlib.ExitStack() as stack:
            # Each is closed, in their order, even if one before it raises.
            for hook in reversed(self._hooks):
                stack.callback(hook.close)
            with self._signals():
                self._call("begin")
                spent = self.budget.reached(self.step, self.timestep, self.episode)
                if spent is not None:
                    self.request_stop(spent)
                if self._stop_reason is None:
                    self._compile(self._uses_xla())
                    self._pretrain()
                if self._stop_reason is None:
                    self.actions = self._loop.start(self.timestep)
                while self._stop_reason is None:
                    self._iterate()
                    if self._wants_checkpoint:
                        self._save()
                self._call("end")
                path = self._save()
        assert self._stop_reason is not None
        return TrainingResult(self.step, self.timestep, self.episode, self._stop_reason, self._signal, path)

    def _pretrain(self) -> None:
        """Learns from the demonstrations, before anything else is in the memory; nothing if that has been done."""
        while self._stop_reason is None and self.timestep == 0 and self.step < self.pretrain_updates:
            # To the next multiple, so that an interruption moves no border of a call but its own.
            updates = min(
                PRETRAIN_CHUNK - self.step % PRETRAIN_CHUNK, self.pretrain_updates - self.step, self._limits().updates
            )
            self._count(updates, self._calls.learn(updates))
            self._call("after_pretraining")
            spent = self.budget.reached(self.step, self.timestep, self.episode)
            if spent is not None:
                self.request_stop(spent)
            if self._wants_checkpoint:
                self._save()
        self._sync()

    def _sync(self) -> None:
        """Brings all variables up to date with the run."""
        updates, loss = self._loop.flush()
        self._count(updates, loss)
        self._calls.push()

    def _count(self, updates: int, loss: float) -> None:
        if updates:
            self.step += updates
            self.loss = loss
            self._call("after_update")

    def _uses_xla(self) -> bool:
        """Whether to run with XLA: by the updates done alone, so that a resumed run computes as one never interrupted."""
        updates = max(self.step, self.pretrain_updates)  # Those that are known to come count too.
        return self._jit == "on" or (self._jit == "auto" and updates >= self._loop.xla_from)

    def _compile(self, xla: bool) -> None:
        self._sync()
        self._loop.compile(xla)
        self._xla = xla

    def _iterate(self) -> None:
        if not self._xla and self._uses_xla():
            self._compile(True)
        progress = self._loop.advance(self.timestep, self._limits())
        self.actions = progress.actions
        self.exploration_rate = progress.exploration_rate
        self.timestep += progress.timesteps
        self.episode += len(progress.episodes)
        self._count(progress.updates, progress.loss)
        for episode in progress.episodes:
            self.episodes.append(episode)
            self._call("after_episode", episode)
        self._call("after_act")

    def _limits(self) -> Limits:
        """What the budget leaves."""
        last_timestep, last_step, last_episode = self._last
        return Limits(last_timestep - self.timestep, last_step - self.step, last_episode - self.episode)

    def _call(self, phase: str, *arguments: Any) -> None:
        for hook in self._phases[phase]:
            getattr(hook, phase)(self, *arguments)

    # State. -------------------------------------------------------------------------------------------------------------

    def _save(self) -> Path:
        self._wants_checkpoint = False
        self._sync()
        started = time.monotonic()
        path = self.checkpoints.save(self._scope, self._memory, self._state())
        self.checkpoint_seconds = time.monotonic() - started
        self._call("after_checkpoint", path)
        return path

    def _state(self) -> dict[str, Any]:
        """All that a resumed run needs and no variable holds."""
        return {
            "seed": self._scope.seed,
            "global_step": self.step,
            "global_timestep": self.timestep,
            "global_episode": self.episode,
            "episodes": [dataclasses.asdict(episode) for episode in self.episodes],
            "hooks": {name: hook.get_state() for name, hook in self._named_hooks()},
            "state_spec": describe_state(self._loop.state_spec),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.episodes.extend(Episode(**episode) for episode in state["episodes"])
        for name, hook in self._named_hooks():
            if name in state["hooks"]:
                hook.set_state(state["hooks"][name])

    def _named_hooks(self) -> Iterator[tuple[str, Hook]]:
        counts: collections.Counter[str] = collections.Counter()
        for hook in self._hooks:
            kind = type(hook).__name__
            yield f"{kind}/{counts[kind]}", hook
            counts[kind] += 1

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the run at the iteration's border, with a checkpoint; a second one at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: Any) -> None:
            if self._signal is not None:
                raise KeyboardInterrupt
            self._signal = number
            self.request_stop(f"interrupted by {signal.Signals(number).name}")

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
