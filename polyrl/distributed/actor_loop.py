"""`ActorLoop`: actors step environments in other processes, and the learner learns from batches that come from shards."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.distributed.actor import ActorTask
from polyrl.distributed.actors_hook import ActorsHook
from polyrl.distributed.exchange import REPLAY, Exchange
from polyrl.distributed.remote_replay import RemoteReplay
from polyrl.distributed.shard import ShardTask
from polyrl.distributed.weights import Weights
from polyrl.distributed.wire import pack
from polyrl.engine.compiler import Compiler
from polyrl.envs import EnvDriver, Episode
from polyrl.estimators.inputs import describe, spec_of_states
from polyrl.estimators.loops.learner import Learner
from polyrl.estimators.loops.loop import NEVER, IterationResult, Loop, Remaining, Spaces, UpdateSchedule, mean_loss

logger = logging.getLogger("polyrl")

WAITS = 0.2
"""Seconds that are waited for other processes at a time."""

LONGEST = 1.0
"""Seconds after which an advance ends in which nothing came: the run's signals have their turn."""

SILENT = 60.0
"""Seconds without a batch after which updates that are due are left for later, where the run wants to save or to show them."""


class ActorLoop(Loop):
    """An advance counts the steps of blocks that have come, and does as many of the updates due as a chunk has batches.

    A block is counted once the updates of those before it have been done, and its actor is asked for another one then: so
    there are as many updates for each step as the schedule says, whoever is faster.

    Args:
        exchange: with actors and shards, which are not started.
        task: of the actors.
        driver: of an environment of the same kind.
        learner: learns from a `RemoteReplay`.
        compiler: of the calls.
        schedule: of the updates.
        num_envs: of each actor.
        publish_every: updates between two publications of the weights.
        saves_replay: whether checkpoints hold what the shards hold.
    """

    resets_environments = False
    inexact = "actors step beside the learner, and which is faster is not the same twice"

    def __init__(
        self,
        exchange: Exchange,
        task: ActorTask,
        driver: EnvDriver,
        learner: Learner,
        compiler: Compiler,
        schedule: UpdateSchedule,
        num_envs: int,
        publish_every: int,
        saves_replay: bool,
    ):
        super().__init__(learner, compiler, schedule)
        memory = learner.memory
        assert isinstance(memory, RemoteReplay)
        self._exchange, self._task, self._memory = exchange, task, memory
        self._publish_every, self._saves_replay = publish_every, saves_replay
        self.num_envs = num_envs
        self.state_spec = spec_of_states(driver.state, driver.env.single_observation_space)
        self._spaces = driver.env.single_observation_space, driver.env.single_action_space
        self.environment = describe(self.state_spec, *self._spaces)
        self._action_spec = driver.action_spec
        memory.actors, memory.opener = task.actors, self._open_shards
        self._behind = self._updates_left = self._timestep = 0
        self._step = self._published = 0  # Gradient updates, and those of the newest publication.
        self._told: tuple[int, int] | None = None  # The updates that wait, and after how many steps, as was said last.
        self._rate, self._silent = float("nan"), False  # Whether a flush has waited in vain, and nothing has come since.
        self.hooks = [ActorsHook(exchange, self._ages)]
        self._block_age = self._batch_age = 0.0

    @property
    def spaces(self) -> Spaces:
        return self._spaces

    def build(self) -> None:
        self._learner.build(self.state_spec, self.num_envs, self._action_spec)
        if not self._exchange.statuses.newest:  # The memory was built in an earlier call of `train`, whose shards have ended.
            self._open_shards(self._memory.column_specs, self.num_envs)
        self.xla_from = NEVER if self._learner.keeps_out_xla() else 0
        count = tf.TensorSpec([], tf.int32)
        self._counts = [tf.TensorSpec([], tf.int64), count, count, count]
        self.form = (type(self), self._memory.batch_specs)
        self._exchange.start_actors()

    def start(self, timestep: int) -> np.ndarray:
        self._compiler.write_back()
        self._step = self._published = int(self._learner.scope.global_step.numpy())
        self._weights = Weights(self._learner.scope)
        self._exchange.begin(timestep, self._packed_weights())
        self._compiler.load()
        return np.zeros([self.num_envs, *self._action_spec.shape], self._action_spec.dtype.as_numpy_dtype)

    def advance(self, timestep: int, remaining: Remaining, watch: bool = False) -> IterationResult:
        timesteps, until = 0, time.monotonic() + LONGEST
        episodes: list[Episode] = []
        self._updates_left, self._timestep = remaining.updates, timestep
        self._look(0.0)
        while True:
            while (
                self._exchange.reports
                and not self._chunk_is_due()
                and timesteps < remaining.timesteps
                and len(episodes) < remaining.episodes
            ):
                timesteps += self._count_block(timestep + timesteps, episodes)
            if timesteps or self._can_learn() or time.monotonic() > until:
                break
            if self._exchange.failure is not None and not self._exchange.reports:  # All that came before it is counted.
                raise self._exchange.failure
            self._look(WAITS)
        result = IterationResult(timesteps, 0, 0.0, np.zeros(0), self._rate, episodes)
        if not self._can_learn():
            call = self._compiler.call("count", lambda: (self._count, self._counts[:2]))
            call(tf.constant(timesteps, tf.int64), tf.constant(len(episodes)))
            return result
        before = self._snapshot() if watch else None
        updates, loss, drawn = self._learn(timesteps, len(episodes))
        if self._step - self._published >= self._publish_every:
            self._published = self._step
            self._compiler.write_back()
            self._exchange.publish(self._packed_weights())
        return self._summarized(result._replace(updates=updates, loss=loss), before, drawn)

    def flush(self) -> tuple[int, float]:
        """Does the updates that are due for the steps which have been counted; those that nothing is there for wait.

        So it does after an actor's failure, by which the next `advance` ends the run: what was counted is learned from. Shards
        that give nothing for `SILENT` seconds are not waited for again until something has come.
        """
        done, total = 0, 0.0
        if self._silent:
            self._look(0.0)
        until = time.monotonic() + (0.0 if self._silent else SILENT)
        while min(self._behind, self._updates_left) > 0 and self._exchange.has_batches:
            if self._can_learn():
                updates, loss, _ = self._learn(0, 0)
                done, total = done + updates, total + updates * loss
                self._silent, until = False, time.monotonic() + SILENT
            elif time.monotonic() >= until:
                self._silent = True
                break
            else:
                self._look(WAITS)
        left = min(self._behind, self._updates_left)
        if left > 0 and self._told != (left, self._timestep):
            self._told = left, self._timestep
            gave = f"no shard has given a batch for {SILENT:g} seconds"
            why = gave if self._exchange.has_batches else "no shard has anything to learn from"
            logger.warning("%d updates are due after %d environment steps and wait, as %s.", left, self._timestep, why)
        return done, total / max(done, 1)

    def write_environment(self, directory: Path, new_episodes: bool) -> None:
        """Has the shards write their memories; where the environments are is not saved."""
        while self._saves_replay and not self._exchange.is_whole:
            self._look(WAITS)
        if self._saves_replay:
            self._exchange.save(directory / REPLAY)
            self._note_stored()

    def read_environment(self, directory: Path, state: Mapping[str, Any]) -> None:
        if (directory / REPLAY).is_dir():
            self._exchange.restore(directory / REPLAY)
            self._note_stored()

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _open_shards(self, specs: dict[str, tf.TensorSpec], num_envs: int) -> Any:
        task = ShardTask(self._memory.memory, specs, num_envs, self._task.actors, self._task.seed)
        return self._exchange.start_shards(task, min(self._memory.shards, self._task.actors))

    def _look(self, seconds: float) -> None:
        """Takes what the other processes have given, for which it waits up to some seconds, and asks for batches."""
        self._exchange.look(seconds)
        self._note_stored()
        if self._timestep >= self._schedule.first_update:
            self._exchange.ask_for_batches(self._memory.chunk, self._step)

    def _note_stored(self) -> None:
        statuses = self._exchange.statuses
        self._memory.known_stored, self._memory.known_inserted = statuses.stored, statuses.inserted

    def _count_block(self, timestep: int, episodes: list[Episode]) -> int:
        """Takes over what the oldest report says, after so many environment steps, and asks its actor for another block."""
        report = self._exchange.reports.popleft()
        self._exchange.ask_after(report)
        outcomes, about = report.outcomes, report.about
        self._memory.note_newest(outcomes["reward"], outcomes["done"], outcomes["truncated"])
        self._rate, self._block_age = float(about["exploration_rate"]), time.monotonic() - report.came
        steps = int(about["timesteps"])
        self._timestep = timestep + steps  # Batches may be asked for, also by a flush in this advance.
        self._behind += self._schedule.due(timestep, timestep + steps)
        episodes += [Episode(*episode) for episode in about["episodes"]]
        return steps

    def _can_learn(self) -> bool:
        return min(self._behind, self._updates_left) > 0 and bool(self._exchange.chunks)

    def _chunk_is_due(self) -> bool:
        """Whether updates are due for the rest of a chunk, or as many as are left: before, more steps are counted.

        So are they where no batch will come: then blocks have to, first.
        """
        if not self._exchange.has_batches:
            return False
        used = self._exchange.chunks[0].used if self._exchange.chunks else 0
        return self._behind >= min(self._memory.chunk - used, self._updates_left)

    def _learn(self, timesteps: int, episodes: int) -> tuple[int, float, Sequence[np.ndarray]]:
        """Does the due updates that the oldest chunk has batches for; their number, mean loss, and what the first drew."""
        chunk = self._exchange.chunks[0]
        if not chunk.used:
            self._batch_age = time.monotonic() - chunk.came
        updates = min(self._behind, self._updates_left, self._memory.chunk - chunk.used)
        counts = tf.constant(timesteps, tf.int64), tf.constant(episodes), tf.constant(chunk.used), tf.constant(updates)
        specs = self._memory.batch_specs
        call = self._compiler.call("learn", lambda: (self._updates, [*specs.values(), *self._counts]))
        outputs = call(*(tf.constant(chunk.batches[name]) for name in specs), *counts)
        loss, priorities, *drawn = (output.numpy() for output in outputs)
        self._behind, self._updates_left = self._behind - updates, self._updates_left - updates
        self._step += updates
        chunk.used += updates
        if chunk.used == self._memory.chunk:
            self._exchange.chunks.popleft()
            if self._memory.PRIORITIZED:
                self._exchange.send_priorities(chunk, priorities)
        return updates, float(loss), drawn

    def _updates(self, *inputs: tf.Tensor) -> list[tf.Tensor]:
        *batches, timesteps, episodes, first, updates = inputs
        self._memory.load(dict(zip(self._memory.batch_specs, batches, strict=True)), first)
        self._learner.count(timesteps, episodes)
        done = self._learner.updates(updates)
        return [mean_loss(done), self._memory.found_priorities(), *done.drawn.values()]

    def _count(self, timesteps: tf.Tensor, episodes: tf.Tensor) -> list[tf.Tensor]:
        """Counts steps that nothing is learned after."""
        self._learner.count(timesteps, episodes)
        return [self._learner.scope.global_timestep.read_value()]

    def _packed_weights(self) -> bytes:
        return pack(self._weights.read(), {"version": self._step})

    def _ages(self) -> dict[str, float]:
        """How old what the learner has is: of the actors' weights in updates, of blocks and batches in seconds."""
        return {
            "actors/weights_behind": float(self._step - self._exchange.versions.mean()),
            "actors/block_age_seconds": self._block_age,
            "replay/batch_age_seconds": self._batch_age,
        }
