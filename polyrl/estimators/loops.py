"""Two ways to advance a training run: environments in Python, one call for each of their steps; or all of it in the graph."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from polyrl.engine import functional
from polyrl.engine.layout import Layout
from polyrl.envs import EnvDriver, Episode, Transitions, open_env
from polyrl.envs.compiled import CompiledEnvironment
from polyrl.envs.gym import EnvLike
from polyrl.errors import NonFiniteError
from polyrl.estimators.compiled import TrainingCalls
from polyrl.estimators.graph_driver import GraphDriver
from polyrl.models.scope import Scope, stream_seed

NEVER = 2**62


class Progress(NamedTuple):
    """What an advance did: environment steps, updates and the mean loss of these, the last actions `[N, ...]` and exploration
    rate, and the episodes that ended.
    """

    timesteps: int
    updates: int
    loss: float
    actions: np.ndarray
    exploration_rate: float
    episodes: list[Episode]


class Limits(NamedTuple):
    """How far an advance may go, in what is left: environment steps, updates, episodes."""

    timesteps: int
    updates: int
    episodes: int


@dataclasses.dataclass(frozen=True)
class UpdateSchedule:
    """One update at each multiple of `frequency` environment steps, after the first `first_update` of them."""

    first_update: int
    frequency: int

    def due(self, begin: Any, end: Any) -> Any:
        """Updates for the environment steps from `begin` to `end`; ints or int64 tensors."""
        larger = max if isinstance(begin, int) else tf.maximum
        return larger(end // self.frequency - larger(begin, self.first_update) // self.frequency, 0)


class Loop(Protocol):
    """Advances a run; a new one has all variables built.

    `timestep` is the run's counter of environment steps before the call.
    """

    num_envs: int
    state_spec: Any
    xla_from: int
    """Updates from which on a compilation by XLA pays."""

    def compile(self, jit: bool) -> None:
        """Gets the calls ready, with XLA or without; the variables must have their values."""

    def start(self, timestep: int) -> np.ndarray:
        """Starts episodes; returns the first actions, int32 `[N]`."""

    def advance(self, timestep: int, limits: Limits) -> Progress:
        """Steps the environments and learns."""

    def flush(self) -> tuple[int, float]:
        """Finishes what an advance left for the next one; gives the updates done and their mean loss."""


@contextlib.contextmanager
def open_loop(
    env: EnvLike,
    calls: TrainingCalls,
    scope: Scope,
    schedule: UpdateSchedule,
    python_loop: Callable[[EnvDriver, TrainingCalls, Scope, UpdateSchedule], Loop],
    timestep: int,
) -> Iterator[Loop]:
    """The loop for whatever stands for an environment; closes at its end what it has opened.

    `python_loop` makes the one for environments in Python. These are reset here: only that shows what their states are.
    `timestep` is where the run goes on.
    """
    if isinstance(env, CompiledEnvironment):
        yield GraphLoop(calls.kept(env, lambda: GraphDriver(env, scope)), calls, scope, schedule)
        return
    with open_env(env, purpose="training") as vector:
        driver = EnvDriver(vector)
        # Named by the timestep: a resumed run gets other episodes than the run that it goes on from had at its start.
        names = [f"environment/{index}/{timestep}" for index in range(driver.num_envs)]
        driver.reset([stream_seed(scope.seed, name)[0] for name in names])
        yield python_loop(driver, calls, scope, schedule)


class PythonLoop:
    """Environments in Python: an advance is one step of each, and one compiled call that stores, learns and acts.

    The driver has been reset.
    """

    def __init__(self, driver: EnvDriver, calls: TrainingCalls, scope: Scope, schedule: UpdateSchedule):
        self.num_envs = driver.num_envs
        self.state_spec = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape[1:], x.dtype), driver.state)
        self._driver, self._calls, self._scope, self._schedule = driver, calls, scope, schedule
        calls.build(self.state_spec, self.num_envs, driver.action_spec)
        states = self._states = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), driver.state)
        numbers = tf.TensorSpec([self.num_envs], tf.float32)
        action = tf.TensorSpec([self.num_envs, *driver.action_spec.shape], driver.action_spec.dtype)
        number, count = tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.int32)
        # XLA takes some 2 seconds to compile and saves about 1 ms in each update; on a CPU, nothing with convolutions.
        self.xla_from = NEVER if calls.has_convolution() else 1_000
        self._structure = [states, action, numbers, numbers, numbers, states, states, count, count]
        self._inputs = Layout(tf.nest.flatten(self._structure))
        self._outputs = Layout([action, number, number])

    def compile(self, jit: bool) -> None:
        self._calls.start(jit)

    def start(self, timestep: int) -> np.ndarray:
        self._actions = self._calls.act(self._driver.state)
        self._calls.pull()  # The first of the noise that goes on.
        return self._actions

    def advance(self, timestep: int, limits: Limits) -> Progress:
        transitions, episodes = self._driver.step(self._actions)
        updates = min(self._schedule.due(timestep, timestep + self.num_envs), limits.updates)
        # With XLA nothing keeps the memory of an input; without, a variable may share it.
        inputs = self._packed([*transitions, self._driver.state, updates, len(episodes)], copy=not self._calls.xla)
        unrolled = self._calls.unrolled(updates)
        call = self._calls.compiled(("iteration", unrolled), lambda: (self._iteration(unrolled), self._inputs.specs))
        actions, loss, rate = self._outputs.unpack_arrays(call(*inputs))
        self._actions = actions
        return Progress(self.num_envs, updates, float(loss), actions, float(rate), episodes)

    def flush(self) -> tuple[int, float]:
        return 0, 0.0

    def _packed(self, inputs: list[Any], copy: bool = True) -> list[tf.Tensor]:
        return self._inputs.pack_arrays(tf.nest.flatten(inputs) if isinstance(self._states, dict) else inputs, copy)

    def _iteration(self, unrolled: int | None, acts: bool = True) -> Callable[..., list[tf.Tensor]]:
        def iteration(*inputs: tf.Tensor) -> list[tf.Tensor]:
            unpacked = tf.nest.pack_sequence_as(self._structure, self._inputs.unpack(inputs))
            *columns, state, updates, finished = unpacked
            transitions = Transitions(*columns)
            self._calls.build_store(transitions, finished)
            total = self._calls.build_updates(updates if unrolled is None else unrolled)
            loss = total / tf.maximum(tf.cast(updates, tf.float32), 1.0)
            if not acts:
                return [loss]
            actions, rate = self._calls.build_act(state, transitions.ended)
            return self._outputs.pack([actions, loss, rate])

        return iteration


class GraphLoop:
    """Environments in the graph: an advance is many steps of each, learning included, in one compiled call.

    It ends at each multiple of `chunk` environment steps, if that is a multiple of the environments and at least 100 of each.
    """

    def __init__(self, driver: GraphDriver, calls: TrainingCalls, scope: Scope, schedule: UpdateSchedule, chunk: int = 1_000):
        self.num_envs = driver.num_envs
        self.state_spec = driver.state_spec
        self._driver, self._calls, self._scope, self._schedule = driver, calls, scope, schedule
        calls.build(self.state_spec, self.num_envs, driver.action_spec)
        # A convolution in a loop of XLA's is slow on a CPU, and this loop cannot be unrolled.
        self.xla_from = NEVER if calls.has_convolution() else 0
        self._rows = max(-(-chunk // self.num_envs), 100)
        self._chunk = self._rows * self.num_envs

    def compile(self, jit: bool) -> None:
        self._calls.start(jit, [self._driver])

    def start(self, timestep: int) -> np.ndarray:
        self._driver.reset()
        self._calls.pull()
        return np.zeros(self.num_envs, np.int32)

    def advance(self, timestep: int, limits: Limits) -> Progress:
        count = tf.TensorSpec([], tf.int64)
        call = self._calls.compiled(("iterations", self._schedule), lambda: (self._build_iterations, [count] * 3))
        # To the next multiple of the chunk, so that whatever is due by environment steps is due at an advance's end.
        steps = min(self._chunk - timestep % self._chunk, limits.timesteps)
        iterations = max(1, min(self._rows, -(-steps // self.num_envs)))
        outputs = call(*(tf.constant(number, tf.int64) for number in (iterations, limits.updates, limits.episodes)))
        done, updates, total, log, actions, rate = (output.numpy() for output in outputs)
        loss = float(total) / max(int(updates), 1)
        self._check_finite(log[:done], timestep)
        return Progress(int(done) * self.num_envs, int(updates), loss, actions, float(rate), _episodes(log[:done]))

    def flush(self) -> tuple[int, float]:
        return 0, 0.0

    def _check_finite(self, log: np.ndarray, timestep: int) -> None:
        """The sum of an episode's rewards, and whether a state is finite, tell of every step."""
        wrong = ~np.isfinite(log[..., 1]) | (log[..., 4] == 0.0)
        if wrong.any():
            iteration, index = (int(place) for place in np.argwhere(wrong)[0])
            name = "observation" if log[iteration, index, 4] == 0.0 else "reward"
            raise NonFiniteError(
                f"Environment {index} gave a non-finite {name} at environment step {timestep + iteration * self.num_envs}. "
                "The steps of this call are stored already: go on from the last checkpoint."
            )

    def _build_iterations(self, iterations: tf.Tensor, updates: tf.Tensor, episodes: tf.Tensor) -> list[tf.Tensor]:
        """So many iterations, or fewer if the last of `updates` is done or the last of `episodes` ends before."""
        timestep, step, episode = self._scope.global_timestep, self._scope.global_step, self._scope.global_episode
        last_step, last_episode = step.read_value() + updates, episode.read_value() + episodes
        first_step = step.read_value()

        def cond(done: tf.Tensor, *carried: tf.Tensor) -> tf.Tensor:
            return (done < iterations) & (step.read_value() < last_step) & (episode.read_value() < last_episode)

        def body(done: tf.Tensor, total: tf.Tensor, log: tf.Tensor, *last: tf.Tensor) -> tuple[tf.Tensor, ...]:
            begin = timestep.read_value()
            actions, rate = self._calls.build_act(self._driver.observe(), self._driver.begins())
            transitions, finished = self._driver.step(actions)
            self._calls.build_store(transitions, tf.math.count_nonzero(finished[:, 0]))
            due = tf.minimum(self._schedule.due(begin, timestep.read_value()), last_step - step.read_value())
            total += self._calls.build_updates(tf.cast(due, tf.int32))
            log = tf.tensor_scatter_nd_update(log, tf.reshape(done, [1, 1]), finished[tf.newaxis])
            return done + 1, total, log, actions, rate

        log = tf.zeros([self._rows, self.num_envs, 5])
        action = self._driver.action_spec
        actions, rate = tf.zeros([self.num_envs, *action.shape], action.dtype), tf.constant(0.0)
        done, total, log, actions, rate = functional.while_loop(
            cond, body, [tf.constant(0, tf.int64), tf.constant(0.0), log, actions, rate]
        )
        return [done, step.read_value() - first_step, total, log, actions, rate]


def _episodes(log: np.ndarray) -> list[Episode]:
    """The episodes of a log `[iterations, N, 5]`: ended, reward, length, truncated, finite."""
    return [
        Episode(float(log[i, n, 1]), int(log[i, n, 2]), int(n), bool(log[i, n, 3])) for i, n in np.argwhere(log[..., 0] > 0)
    ]
