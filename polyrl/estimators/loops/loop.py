"""`Loop`: what the three ways to advance a training run have in common."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import tensorflow as tf

from polyrl.engine.compiler import Compiler
from polyrl.envs import Episode
from polyrl.errors import NonFiniteError
from polyrl.estimators.loops.learner import Learner, Updates
from polyrl.estimators.loops.panel_calls import Snapshot
from polyrl.estimators.run_config import RunConfig
from polyrl.explorations.explorers import Explorer
from polyrl.summaries import Summaries

Spaces = tuple[gymnasium.Space[Any], gymnasium.Space[Any]]
"""Of one environment's observations and actions."""

NEVER = 2**62


class IterationResult(NamedTuple):
    """What an advance did: environment steps, updates and the mean loss of these, the last actions `[N, ...]` and exploration
    rate, the episodes that ended, and, if they were requested and there was an update, its summaries and how long they took.
    """

    timesteps: int
    updates: int
    loss: float
    actions: np.ndarray
    exploration_rate: float
    episodes: list[Episode]
    summaries: Summaries | None = None
    summary_seconds: float = 0.0


class Remaining(NamedTuple):
    """What the budget leaves: environment steps, updates, episodes."""

    timesteps: int
    updates: int
    episodes: int


@dataclasses.dataclass(frozen=True)
class UpdateSchedule:
    """`updates_at_once` updates at each multiple of `frequency` environment steps, after the first `first_update` of them."""

    first_update: int
    frequency: int
    updates_at_once: int = 1

    def due(self, begin: Any, end: Any) -> Any:
        """Updates for the environment steps from `begin` to `end`; ints or int64 tensors."""
        larger = max if isinstance(begin, int) else tf.maximum
        multiples = end // self.frequency - larger(begin, self.first_update) // self.frequency
        return self.updates_at_once * larger(multiples, 0)

    def next_due(self, timestep: int) -> int:
        """The environment steps at which the next update after `timestep` is due."""
        return (max(timestep, self.first_update) // self.frequency + 1) * self.frequency


class Loop(abc.ABC):
    """Advances a run: `build`, then `prepare`, then `start`, then `advance` again and again.

    A loop that `resets_environments` cannot save them. It is started again at each multiple of some environment steps, and
    from there a resumed run takes the same actions again. Any other has its environments in the checkpoint.

    Args:
        learner: acts, stores, learns.
        compiler: of the calls.
        schedule: of the updates.

    Attributes:
        num_envs: environments that step in parallel.
        state_spec: the spec of one state, or a dict of specs.
        environment: what a checkpoint says of it, see `polyrl.estimators.inputs.describe`.
        xla_from: updates from which on a compilation by XLA pays.
        xla: whether the calls are prepared to run with XLA; once True, it never changes back to False.
        inexact: why a resumed run would be another one; empty where it is the same.
        hooks: what the loop itself has to show of a run.
    """

    num_envs: int
    state_spec: Any
    environment: dict[str, Any]
    xla_from = NEVER
    resets_environments: bool
    inexact: str = ""
    hooks: Sequence[Any] = ()
    may_keep: Sequence[str] = ()
    """Wrappers of the environments that may keep something which no checkpoint holds."""
    modules: Sequence[tf.Module] = ()
    """What holds variables in addition to the scope and the memory."""
    form: Any = None
    """What the compiled calls depend on in addition to the variables: another loop of the same form takes them over."""

    def __init__(self, learner: Learner, compiler: Compiler, schedule: UpdateSchedule):
        self._learner, self._compiler, self._schedule = learner, compiler, schedule
        self._given_schedule = schedule
        self.xla = False
        self._prepared: bool | None = None

    @property
    @abc.abstractmethod
    def spaces(self) -> Spaces:
        """Of one environment's observations and actions."""

    @property
    def described(self) -> dict[str, Any]:
        """What a checkpoint says of the loop: the environment's states and actions, and the schedule of updates."""
        return {**self.environment, "schedule": dataclasses.asdict(self._given_schedule)}

    @property
    def compile_seconds(self) -> float:
        """How long XLA has taken to compile so far."""
        return self._compiler.seconds

    def updates(self, begin: int, end: int) -> int:
        """How many updates are due for the environment steps from `begin` to `end`."""
        return self._schedule.due(begin, end)

    @abc.abstractmethod
    def build(self) -> None:
        """Creates all variables."""

    def wait_for_memory(self, timestep: int) -> int:
        """Has the next update wait until the memory holds `first_update` steps; returns the environment steps by then.

        Args:
            timestep: environment steps done.
        """
        missing = self._given_schedule.first_update - int(self._learner.memory.inserted.numpy())
        first = max(timestep + missing, self._given_schedule.first_update)
        self._schedule = dataclasses.replace(self._given_schedule, first_update=first)
        return first

    @abc.abstractmethod
    def start(self, timestep: int) -> np.ndarray:
        """Starts episodes, or continues those that were restored; returns the first actions `[N, ...]`.

        Args:
            timestep: environment steps done. New episodes follow from it and the root seed.
        """

    @abc.abstractmethod
    def write_environment(self, directory: Path, new_episodes: bool) -> None:
        """Writes where the environments are into a checkpoint's directory.

        Args:
            directory: of the checkpoint.
            new_episodes: whether they start new episodes next.
        """

    @abc.abstractmethod
    def read_environment(self, directory: Path, state: Mapping[str, Any]) -> None:
        """Brings the environments back, if they are such as `write_environment` wrote; `state` is that of the checkpoint."""

    @abc.abstractmethod
    def advance(self, timestep: int, remaining: Remaining, watch: bool = False) -> IterationResult:
        """Steps the environments and learns.

        Args:
            timestep: environment steps before the call.
            remaining: what the budget leaves.
            watch: whether the result shall have summaries of the first update, if there is one.
        """

    def flush(self) -> tuple[int, float]:
        """Finishes the work that `advance` deferred; returns the updates done and their mean loss."""
        return 0, 0.0

    def prepare(self, updates: int, jit: str) -> None:
        """Gets the calls ready, with XLA if that pays; the variables must have their values.

        By the updates done alone, so that a resumed run computes as one that was never interrupted.

        Args:
            updates: those done, and those known to come.
            jit: `'on'`, `'off'` or `'auto'`.
        """
        xla = jit == "on" or (jit == "auto" and updates >= self.xla_from)
        if xla is not self._prepared:
            self._prepared = self.xla = xla
            roots = [self._learner.scope, self._learner.memory, *self._learner.modules, *self.modules]
            self._compiler.start(roots, self._learner.probe, xla, self.form)

    def sync(self) -> tuple[int, float]:
        """Brings all variables up to date with the run; gives the updates that this took, and their mean loss."""
        flushed = self.flush()
        self.write_back()
        return flushed

    def write_back(self) -> None:
        """Brings all variables up to date with what has been computed, and leaves what `flush` would do."""
        self._compiler.write_back()

    def learn(self, updates: int) -> float:
        """Does this number of updates, at least one, without a step of the environments; returns their mean loss."""
        learner, compiler = self._learner, self._compiler
        if compiler.xla and learner.keeps_out_xla():  # One by one: a long row of them would take minutes to compile.
            one: Any = (lambda: [learner.updates(1).loss], [])
            return float(np.mean([compiler.call("update", lambda: one)()[0].numpy() for _ in range(updates)]))
        specs = [tf.TensorSpec([], tf.int32)]
        many = compiler.call("updates", lambda: (lambda count: [learner.updates(count).loss], specs))
        return float(many(tf.constant(updates))[0].numpy()) / updates

    def _carried(self) -> list[tf.Variable]:
        """What is carried from step to step and is not part of the models' state: temporally correlated noise, and what
        recurrent networks remember."""
        parts = [part for part in self._learner.scope.unsaved_modules() if isinstance(part, Explorer) and part.STATEFUL]
        return [variable for part in (*parts, *self._learner.modules) for variable in part.variables]

    def _snapshot(self) -> Snapshot:
        """What `_summarized` needs of the time before an update."""
        self._compiler.write_back()
        return self._learner.snapshot()

    def _summarized(self, result: IterationResult, before: Snapshot | None, drawn: Sequence[np.ndarray]) -> IterationResult:
        """The result with summaries of its first update, if there was a snapshot before it and an update.

        Raises:
            NonFiniteError: if the exploration rate was not finite.
        """
        if math.isinf(result.exploration_rate):
            raise NonFiniteError(
                "The exploration rate is NaN, infinite, below 0, or as a probability above 1 in this step: see the model's "
                "exploration_config, or its _build_exploration. The checkpoints are as they were."
            )
        if before is None or not result.updates:
            return result
        started = time.monotonic()
        self._compiler.write_back()
        names: Mapping[str, Any] = self._learner.memory.drawn_specs
        summaries = self._learner.summaries(before, dict(zip(names, drawn, strict=True)))
        return result._replace(summaries=summaries, summary_seconds=before.seconds + time.monotonic() - started)


class BringsLoop(abc.ABC):
    """An environment of `Agent.train` that is advanced by a loop of its own."""

    @abc.abstractmethod
    def open_loop(
        self, learner: Learner, compiler: Compiler, schedule: UpdateSchedule, timestep: int, config: RunConfig
    ) -> contextlib.AbstractContextManager[Loop]:
        """The loop, whose variables are not built; what was opened for it is closed at the end. See `opening.open_loop`."""


def mean_loss(updates: Updates) -> tf.Tensor:
    """The mean loss of some updates, a scalar; 0 without any."""
    return updates.loss / tf.maximum(tf.cast(updates.count, tf.float32), 1.0)
