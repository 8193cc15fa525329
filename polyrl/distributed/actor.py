"""`Actor`: steps environments in a process of its own, with weights that the learner publishes."""

from __future__ import annotations

import contextlib
import copy
import time
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from polyrl.distributed.acting import Acting
from polyrl.distributed.blocks import shrink
from polyrl.distributed.cluster import NotBegunError
from polyrl.distributed.weights import Weights
from polyrl.distributed.wire import pack, unpack
from polyrl.engine.tracing import traced
from polyrl.envs import EnvDriver, Transitions, open_env
from polyrl.envs.gym import EnvLike
from polyrl.envs.observations import as_features, split_columns
from polyrl.estimators import extra_ops
from polyrl.estimators.inputs import spec_of_states
from polyrl.estimators.loops.learner import Learner
from polyrl.estimators.model_fn import ModelFn, checked
from polyrl.models.features import NETWORK_STATE
from polyrl.models.scope import Scope, stream_seed
from polyrl.modes import Modes
from polyrl.replay import Replay
from polyrl.replay.frames import check_stack

STACKS_CHECKED = 100
"""Steps of an actor in which stacked frames are compared."""

LADDER = 7.0
"""Alpha of Horgan et al. 2018: the last actor explores with the rate of the first one to the power of 1 + alpha."""

PRIORITY = "initial_priority"
"""The column of a block that has the priorities of its transitions, or of the sequences that it makes whole."""


class ActorTask(NamedTuple):
    """What every actor of a run is given.

    `env`: the environment, of which each actor opens its own; `memory`: not built, as that of the learner; `seed`: the run's
    root seed; `actors`: how many there are; `steps`: of each environment in a block, `T`; `jit`: whether XLA compiles their
    acting, see `Acting`.
    """

    model_fn: ModelFn
    env: EnvLike
    memory: Replay
    seed: int
    actors: int
    steps: int
    jit: str


class Actor:
    """Acts with the newest weights it was given, and gives its steps as blocks.

    `begin` comes first, also after the process was started again.

    Args:
        task: that of all actors.
        index: which of them it is, from 0.
    """

    def __init__(self, task: ActorTask, index: int):
        self._task, self._index = task, index
        self._opened = contextlib.ExitStack()
        self._driver = EnvDriver(self._opened.enter_context(open_env(task.env, purpose="training")))
        self._scope = Scope()
        self._scope.exploration_power = rung(index, task.actors)
        self._learner = Learner(task.model_fn, self._scope, task.memory)
        self._weights: Weights | None = None
        self._life = ""
        self._blocks = self._version = 0
        self._unchecked = STACKS_CHECKED if task.memory.frame_stack is not None else 0

    def begin(self, life: str, weights: bytes) -> None:
        """Starts new episodes, with these weights.

        Args:
            life: each time another one: all random numbers follow from the run's seed, the actor's number and this.
            weights: see `set_weights`.
        """
        root = stream_seed(self._task.seed, f"actor/{self._index}/{life}")[0]
        names = [f"environment/{index}" for index in range(self._driver.num_envs)]
        states = self._driver.reset([stream_seed(root, name)[0] for name in names])
        if self._life:
            self._interrupt()
        else:
            self._scope.seed = root  # Calls that are traced keep it; later lives go on in its streams.
            self._build(states)
            self._weights = Weights(self._scope)
        self.set_weights(weights)
        if self._unchecked:
            check_stack(as_features(states)["state"])
        self._life, self._blocks = life, 0
        self._choose(np.ones(self._driver.num_envs, np.bool_), 0)

    def set_weights(self, weights: bytes) -> None:
        """Acts with these weights from now on; see `pack` and `Weights`.

        Raises:
            NotBegunError: before `begin`.
        """
        if self._weights is None:
            raise NotBegunError(f"Actor {self._index} knows nothing of the run, as its process is new. Call begin first.")
        values, about = unpack(weights)
        self._act.write_back()
        self._weights.assign(values)
        self._act.load()
        self._version = int(about["version"])

    def collect(self) -> tuple[bytes, bytes]:
        """`T` steps of each environment: a report for the learner, and the block for the replay memory.

        Raises:
            NotBegunError: before `begin`.
        """
        if not self._life:
            raise NotBegunError(f"Actor {self._index} knows nothing of the run, as its process is new. Call begin first.")
        started, rows, ended = time.monotonic(), [], []
        for _ in range(self._task.steps):
            transitions, episodes = self._step()
            rows.append(transitions)
            ended += [[episode.reward, episode.length, episode.env, episode.truncated] for episode in episodes]
        columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        rate = self._acted.rate
        about = {
            "actor": self._index,
            "timesteps": self._task.steps * self._driver.num_envs,
            "episodes": ended,
            "exploration_rate": rate if np.isfinite(rate) else str(rate),
            "version": self._version,
            "life": self._life,
            "number": self._blocks,
        }
        self._blocks += 1
        sent = shrink(columns, self._task.memory.frame_stack)
        if self._evaluate is not None:
            self._act.write_back()
            sent[PRIORITY] = self._evaluate({name: tf.constant(values) for name, values in columns.items()}).numpy()
        about["seconds"] = time.monotonic() - started
        outcomes = {name: columns[name] for name in ("reward", "done", "truncated")}
        return pack(outcomes, about), pack(sent, about, compress=True)

    def close(self) -> None:
        """Closes the environments."""
        self._opened.close()

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _build(self, states: Any) -> None:
        """Traces acting, and first priorities, for states `[N, ...]`."""
        spec, count = spec_of_states(states, self._driver.env.single_observation_space), self._driver.num_envs
        self._learner.build_acting(spec, count, self._driver.action_spec)

        shaped = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), states)
        self._act = Acting(self._learner, shaped, self._driver.action_spec, self._task.jit)
        self._evaluate, self._interrupt = None, lambda: None
        memory = self._task.memory
        if memory.PRIORITIZED:
            evaluate, interrupt = first_priorities(self._learner, self._task, spec, count, self._driver.action_spec)
            self._evaluate, self._interrupt = traced(evaluate), traced(interrupt)

    def _step(self) -> tuple[dict[str, Any], list[Any]]:
        transitions, episodes = self._driver.step(self._acted.actions)
        if self._unchecked:
            self._unchecked -= 1
            check_stack(as_features(transitions.state)["state"], as_features(transitions.next_state)["state"])
        columns = transitions.columns()
        if self._acted.network_state is not None:
            columns[NETWORK_STATE] = self._acted.network_state
        self._choose(transitions.ended, self._driver.num_envs)
        return columns, episodes

    def _choose(self, is_first: np.ndarray, timesteps: int) -> None:
        """The actions for the present states."""
        self._acted = self._act(self._driver.state, is_first, timesteps)


def rung(index: int, actors: int) -> float:
    """The power that the rate of exploration of actor `index` is raised to (Horgan et al. 2018, section 4.1)."""
    return 1.0 + LADDER * index / (actors - 1) if actors > 1 else 1.0


def first_priorities(learner: Learner, task: ActorTask, state: Any, num_envs: int, action: Any) -> Any:
    """A function from the columns `[T, N, ...]` of a block to first priorities; and one to be called where the next block does
    not follow the one before.

    The priorities are those of an update with the actor's weights: of the block's transitions, float32 `[T, N]`, where windows
    of several steps end with the block; or of the sequences that it makes whole, `[T / stride, N]`, NaN for those that are not
    there or began before the blocks were interrupted, see `PrioritizedSequenceReplay.made_whole`.
    """
    memory: Any = copy.deepcopy(task.memory)
    length = memory.sequence_length if memory.SEQUENCES else memory.n_step + (memory.frame_stack or 1)
    memory.size = num_envs * (2 * task.steps + length + 4)
    one, number = tf.TensorSpec(action.shape, action.dtype), tf.TensorSpec([], tf.float32)
    specs = Transitions(state, one, number, number, number, state).columns()
    if learner.recurrence is not None:
        specs[NETWORK_STATE] = tf.TensorSpec(learner.recurrence.before.shape[1:], tf.float32)
    memory.build(specs, num_envs)

    since = tf.Variable(0, dtype=tf.int64, trainable=False, name="since")

    def td_errors(index: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        features, labels = split_columns(memory.read({"index": index, "weights": weights}))
        with learner.scope.active():
            spec = task.model_fn(features=features, labels=labels, mode=Modes.EVAL)
        return tf.cast(extra_ops.priorities(checked(spec, Modes.EVAL), int(index.shape[0])), tf.float32)

    def of_transitions(columns: dict[str, tf.Tensor]) -> tf.Tensor:
        positions = memory.add_steps(columns)  # [T, N]
        index = tf.cast(tf.reshape(positions, [-1]), tf.int32)
        return tf.reshape(td_errors(index, tf.ones(index.shape)), [task.steps, num_envs])

    def of_sequences(columns: dict[str, tf.Tensor]) -> tf.Tensor:
        memory.add_steps(columns)
        first, is_there = memory.made_whole(task.steps, since)
        flat = tf.reshape(first, [-1])
        mixed = memory.mixed(td_errors(memory.steps_of(flat), tf.ones(flat.shape)))
        return tf.where(is_there, tf.reshape(mixed, first.shape), np.nan)

    def interrupt() -> None:
        memory.start_episodes()
        since.assign(memory.inserted)

    return of_sequences if memory.SEQUENCES else of_transitions, interrupt
