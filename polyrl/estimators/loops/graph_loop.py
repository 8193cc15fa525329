"""`GraphLoop`: environments in the graph, many of their steps in one compiled call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.engine import functional
from polyrl.engine.compiler import Compiler
from polyrl.engine.rows import RowPacking
from polyrl.envs import Episode
from polyrl.errors import NonFiniteError
from polyrl.estimators.loops.graph_driver import GraphDriver, StepLog
from polyrl.estimators.loops.learner import Learner
from polyrl.estimators.loops.loop import NEVER, IterationResult, Loop, Remaining, Spaces, UpdateSchedule
from polyrl.paths import literal

ENVIRONMENT = "environment"
"""The files of a checkpoint that hold the environments."""


class GraphLoop(Loop):
    """Environments in the graph: an advance is many steps of each, learning included, in one compiled call.

    The state of the environments is in the checkpoints: a resumed run continues in the middle of their episodes.

    It ends at each multiple of `chunk` environment steps, if that is a multiple of the environments and at least 100 of each.
    """

    resets_environments = False

    def __init__(self, driver: GraphDriver, learner: Learner, compiler: Compiler, schedule: UpdateSchedule, chunk: int = 500):
        super().__init__(learner, compiler, schedule)
        self.modules = [driver]
        self._goes_on = False
        self.num_envs = driver.num_envs
        self.state_spec = driver.state_spec
        self.environment = driver.described
        self._driver = driver
        self._rows = max(-(-chunk // self.num_envs), 100)
        self._chunk = self._rows * self.num_envs
        dtypes = StepLog(ended=tf.bool, truncated=tf.bool, episode_reward=tf.float32, length=tf.int32, finite=tf.bool)
        self._log = RowPacking({name: tf.TensorSpec([], dtype) for name, dtype in dtypes._asdict().items()})

    @property
    def spaces(self) -> Spaces:
        return self._driver.spaces

    def build(self) -> None:
        self._learner.build(self.state_spec, self.num_envs, self._driver.action_spec)
        # A large convolution in a loop of XLA's is slow on a CPU, and this loop cannot be unrolled.
        self.xla_from = NEVER if self._learner.keeps_out_xla() else 0

    def start(self, timestep: int) -> np.ndarray:
        self._compiler.write_back()  # Of pre-training.
        if not self._goes_on:
            self._driver.reset()
            self._learner.memory.start_episodes()
        self._compiler.load()
        action = self._driver.action_spec
        return np.zeros([self.num_envs, *action.shape], action.dtype.as_numpy_dtype)

    def write_environment(self, directory: Path, new_episodes: bool) -> None:
        if not new_episodes:
            self._checkpoint().write(str(directory / ENVIRONMENT))

    def read_environment(self, directory: Path, state: Mapping[str, Any]) -> None:
        same = all(state.get(key) == value for key, value in self.environment.items())
        if same and state["num_envs"] == self.num_envs and (directory / f"{ENVIRONMENT}.index").exists():
            self._checkpoint().read(str(literal(directory) / ENVIRONMENT)).assert_consumed()
            self._goes_on = True

    def _checkpoint(self) -> tf.train.Checkpoint:
        """The environments, and what is carried from step to step."""
        return tf.train.Checkpoint(driver=self._driver, noises=self._carried())

    def advance(self, timestep: int, remaining: Remaining, watch: bool = False) -> IterationResult:
        # To the next multiple of the chunk, so that whatever is due by environment steps is due at an advance's end.
        steps = min(self._chunk - timestep % self._chunk, remaining.timesteps)
        if watch:
            waiting = self._schedule.next_due(timestep) - timestep - self.num_envs
            steps, watch = (steps, False) if steps <= waiting else (max(waiting, self.num_envs), waiting <= 0)
        iterations = max(1, min(self._rows, -(-steps // self.num_envs)))
        before = self._snapshot() if watch else None
        count = tf.TensorSpec([], tf.int64)
        call = self._compiler.call(("iterations", self._schedule), lambda: (self._iterations, [count] * 3))
        outputs = call(*(tf.constant(number, tf.int64) for number in (iterations, remaining.updates, remaining.episodes)))
        done, updates, total, rows, actions, rate, *drawn = (output.numpy() for output in outputs)
        log = StepLog(**self._log.unpack_arrays(rows[:done]))
        self._check_finite(log, timestep)
        loss, timesteps = float(total) / max(int(updates), 1), int(done) * self.num_envs
        result = IterationResult(timesteps, int(updates), loss, actions, float(rate), _episodes(log))
        return self._summarized(result, before, drawn)

    def _iterations(self, iterations: tf.Tensor, updates: tf.Tensor, episodes: tf.Tensor) -> list[tf.Tensor]:
        """Runs `iterations`, or fewer if the last of `updates` is done or the last of `episodes` ends before."""
        learner, scope = self._learner, self._learner.scope
        first_step = scope.global_step.read_value()
        last_step, last_episode = first_step + updates, scope.global_episode.read_value() + episodes

        def continues(done: tf.Tensor, *carried: Any) -> tf.Tensor:
            left = (scope.global_step.read_value() < last_step) & (scope.global_episode.read_value() < last_episode)
            return (done < iterations) & left

        def iteration(done: tf.Tensor, total: tf.Tensor, log: tf.Tensor, drawn: Any, *last: Any) -> tuple[Any, ...]:
            begin = scope.global_timestep.read_value()
            actions, rate = learner.act(self._driver.observe(), self._driver.is_first())
            transitions, step_log = self._driver.step(actions)
            learner.store(transitions)
            learner.count(self.num_envs, tf.math.count_nonzero(step_log.ended))
            due = self._schedule.due(begin, scope.global_timestep.read_value())
            due = tf.minimum(due, last_step - scope.global_step.read_value())
            learnt = learner.updates(tf.cast(due, tf.int32))
            log = tf.tensor_scatter_nd_update(log, tf.reshape(done, [1, 1]), self._log.pack(step_log._asdict())[tf.newaxis])
            return done + 1, total + learnt.loss, log, learnt.drawn, actions, rate

        log = tf.zeros([self._rows, self.num_envs, self._log.width])
        action = self._driver.action_spec
        actions, rate = tf.zeros([self.num_envs, *action.shape], action.dtype), tf.constant(0.0)
        start = [tf.constant(0, tf.int64), tf.constant(0.0), log, learner.updates(0).drawn, actions, rate]
        done, total, log, drawn, actions, rate = functional.while_loop(continues, iteration, start)
        return [done, scope.global_step.read_value() - first_step, total, log, actions, rate, *drawn.values()]

    def _check_finite(self, log: StepLog, timestep: int) -> None:
        """A NonFiniteError if a reward or a state is not finite.

        The sum of an episode's rewards, and whether the next state is finite, are reported for each step.
        """
        wrong = ~np.isfinite(log.episode_reward) | ~log.finite
        if wrong.any():
            iteration, index = (int(place) for place in np.argwhere(wrong)[0])
            name = "reward" if log.finite[iteration, index] else "observation"
            raise NonFiniteError(
                f"Environment {index} gave a non-finite {name} at environment step {timestep + iteration * self.num_envs}. "
                "The steps of this call are stored already: resume from the last checkpoint, if there is one."
            )


def _episodes(log: StepLog) -> list[Episode]:
    """The episodes that ended, of a log `[iterations, N]`."""
    return [
        Episode(float(log.episode_reward[place]), int(log.length[place]), int(place[1]), bool(log.truncated[place]))
        for place in map(tuple, np.argwhere(log.ended))
    ]
