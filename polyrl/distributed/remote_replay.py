"""`RemoteReplay`: a replay memory in processes of its own; the learner has the batches that come from there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.replay import Replay, RolloutMemory
from polyrl.replay.storage import Rows
from polyrl.validation import check_int

CHUNK_BYTES = 4 << 20
"""Batches that come at once are together about this large, but there are no more than `MOST_BATCHES`."""

MOST_BATCHES = 32

Opener = Callable[[dict[str, tf.TensorSpec], int], dict[str, tuple[tuple[int, ...], str]]]
"""Starts the shards for the columns of a transition and the environments of each actor; gives the form of their batches."""


class RemoteReplay(Replay):
    """The memory of a run with `RemoteActors`: it lies in processes, shards, which the actors send their steps to.

    Every actor's transitions are in a memory of their own, of a share of the size. A batch comes from one of them.

    Args:
        memory: as for a run in one process, not built: its size is that of all together.
        shards: processes that it is divided among.

    Raises:
        TypeError: if `memory` is none.
        ValueError: for a memory with demonstrations, or one of rollouts, or one that is in use.
    """

    def __init__(self, memory: Replay, shards: int = 1):
        if not isinstance(memory, Replay) or isinstance(memory, RemoteReplay):
            raise TypeError(f"memory={memory!r} must be a replay memory of one process, as UniformReplay(50_000, 32).")
        if isinstance(memory, RolloutMemory):
            raise ValueError(
                "memory: rollouts are learned from while they are the newest; actors send theirs later. Use a replay memory."
            )
        if memory.demonstrations is not None:
            raise ValueError("memory: demonstrations are not supported in a RemoteReplay; leave them out.")
        if memory.num_envs:
            raise ValueError("memory holds transitions already; give a new one.")
        super().__init__(memory.size, memory.batch_size, n_step=memory.n_step, frame_stack=memory.frame_stack)
        self.PRIORITIZED, self.SEQUENCES = memory.PRIORITIZED, memory.SEQUENCES  # type: ignore[misc]
        self.memory = memory
        self.shards = check_int("shards", shards, minimum=1)
        self.actors = 0
        self.opener: Opener | None = None
        self.chunk = 1
        self.known_stored = self.known_inserted = 0
        self._newest: tuple[np.ndarray, ...] = (np.zeros([0, 1], np.float32),) * 3

    @property
    def described(self) -> dict[str, Any]:
        return {**self.memory.described, "actors": self.actors}

    def build(self, specs: Mapping[str, tf.TensorSpec], num_envs: int = 1) -> None:
        """Starts the shards, and makes room for a chunk of batches."""
        if self._specs:
            self._check_same(specs, num_envs)
            return
        if self.opener is None:
            raise ValueError(
                "A RemoteReplay is for a run with polyrl.distributed.RemoteActors as its environment; use its memory."
            )
        forms = self.opener(dict(specs), num_envs)
        size = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in forms.values())
        self.chunk = int(np.clip(CHUNK_BYTES // size, 1, MOST_BATCHES))
        self._batches = {
            name: tf.Variable(tf.zeros([self.chunk, *shape], dtype), trainable=False, name=name)
            for name, (shape, dtype) in forms.items()
        }
        self._next = tf.Variable(0, trainable=False, name="next")
        self._found = tf.Variable(tf.zeros([self.chunk, self.batch_size]), trainable=False, name="priorities")
        self._specs = {name: tf.TensorSpec(spec.shape, spec.dtype) for name, spec in specs.items()}
        self.num_envs = num_envs

    @property
    def column_specs(self) -> dict[str, tf.TensorSpec]:
        """Of the columns of a transition, as `build` was given them."""
        return dict(self._specs)

    # In the compiled update. --------------------------------------------------------------------------------------------

    @property
    def batch_specs(self) -> dict[str, tf.TensorSpec]:
        """Of a chunk of batches: each column `[chunk, ...]`."""
        return {name: tf.TensorSpec(variable.shape, variable.dtype) for name, variable in self._batches.items()}

    def load(self, batches: Mapping[str, tf.Tensor], first: tf.Tensor) -> None:
        """The batches that the next draws give, each column `[chunk, ...]`, from number `first` on."""
        for name, variable in self._batches.items():
            variable.assign(batches[name])
        self._next.assign(first)

    def draw(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        """The next batch of the chunk; `index` is its number times `B` and the row, int32 `[B]`."""
        number = self._next.read_value()
        self._next.assign(number + 1)
        return {"index": number * self.batch_size + tf.range(self.batch_size)}

    def read(self, drawn: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        number = drawn["index"][0] // self.batch_size
        return {name: tf.gather(variable, number) for name, variable in self._batches.items()}

    def update_priorities(self, index: tf.Tensor, priorities: tf.Tensor) -> None:
        number = tf.reshape(index, [-1])[0] // self.batch_size
        found = tf.reshape(tf.cast(priorities, tf.float32), [1, -1])
        self._found.scatter_nd_update(tf.reshape(number, [1, 1]), found)

    def found_priorities(self) -> tf.Tensor:
        """The priorities of the chunk's batches, float32 `[chunk, B]`, where there was an update."""
        return self._found.read_value()

    # What is known of the shards. ---------------------------------------------------------------------------------------

    def stored(self) -> tf.Tensor:
        return tf.constant(self.known_stored, tf.int64)

    @property
    def inserted(self) -> Any:
        return tf.constant(self.known_inserted, tf.int64)

    def note_newest(self, reward: np.ndarray, done: np.ndarray, truncated: np.ndarray) -> None:
        """What the newest block gave, float32 `[T, N]` each."""
        self._newest = reward, done, truncated

    def newest(self, steps: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """As of any memory, but of one actor's newest block alone."""
        reward, done, truncated = (tf.constant(values[-steps:]) for values in self._newest)
        return reward, done, truncated

    def start_episodes(self) -> None:
        """Nothing is to be marked: each block says whether it continues the one before."""

    @property
    def rows(self) -> Rows:
        """Nothing: the shards write what they hold."""
        return Rows({}, [], [*self._batches.values(), self._next, self._found])

    @property
    def in_lockstep(self) -> bool:
        return True  # The number of environments is that of each actor's memory.
