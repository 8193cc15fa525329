"""`ReplayShard`: the replay memories of some actors, in a process of their own."""

from __future__ import annotations

import collections
import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from polyrl.distributed.actor import PRIORITY
from polyrl.distributed.blocks import expand
from polyrl.distributed.cluster import NotBegunError
from polyrl.distributed.wire import pack, unpack
from polyrl.engine.tracing import traced
from polyrl.models.scope import stream_seed
from polyrl.replay import Replay, shards

PENDING = 1_000
"""Samples whose priorities are waited for; those of older ones are dropped."""


class ShardTask(NamedTuple):
    """What every shard of a run is given.

    `memory`: not built, as the user made it, for all actors together; `specs`: of the columns of a transition; `num_envs`: of
    each actor; `actors`: how many there are in all; `seed`: the run's root seed.
    """

    memory: Replay
    specs: dict[str, tf.TensorSpec]
    num_envs: int
    actors: int
    seed: int


class ReplayShard:
    """Keeps the newest transitions of its actors, each actor's in a memory of its own, and gives batches of them.

    A batch comes from one of these memories, which is drawn in proportion to its `Replay.mass`: so each transition, or with
    priorities each priority, counts the same.

    Args:
        task: that of all shards.
        index: which of them it is, from 0.
        actors: whose transitions it keeps.
    """

    def __init__(self, task: ShardTask, index: int, actors: Sequence[int]):
        self._task, self._index = task, index
        self._memories = {actor: _Memory(task) for actor in actors}
        self._samples, self._life = 0, time.time_ns()  # A shard that begins again knows nothing of samples before.
        self._drawn: collections.OrderedDict[str, list[tuple[int, np.ndarray, np.ndarray]]] = collections.OrderedDict()
        self._dropped, self._has_begun = 0, False

    def begin(self) -> bytes:
        """Begins with nothing; gives `status`. This or `restore` comes first, also after the process was started again."""
        self._has_begun = True
        return self.status()

    def insert(self, block: bytes) -> bytes:
        """Stores a block of an actor; gives `status`.

        A block that neither follows the newest one that is stored nor begins new episodes is left out, as windows and stacks
        of frames would join what does not belong together.

        Raises:
            ValueError: for bytes that are no block of one of its actors.
            NotBegunError: before `begin` and `restore`.
        """
        self._check_begun()
        small, about = unpack(block)
        priorities = small.pop(PRIORITY, None)
        columns = expand(small)
        if about.get("actor") not in self._memories:
            raise ValueError(f"This block is of actor {about.get('actor')}; shard {self._index} has {list(self._memories)}.")
        self._memories[about["actor"]].insert(columns, priorities, str(about["life"]), int(about["number"]))
        return self.status()

    def sample(self, count: int, step: int) -> bytes:
        """`count` batches: each column `[count, ...]`; said beside them, the `sample` for `update_priorities`.

        Args:
            count: how many.
            step: gradient updates done, which importance weights go by.

        Raises:
            RuntimeError: if nothing is stored.
            NotBegunError: before `begin` and `restore`.
        """
        self._check_begun()
        masses = np.array([memory.mass for memory in self._memories.values()])
        if not masses.sum() > 0.0:
            raise RuntimeError(f"Shard {self._index} is empty.")
        self._samples += 1
        high, low = stream_seed(self._task.seed, f"replay/shard/{self._index}")
        random = np.random.default_rng([high, low, self._samples])
        counts = random.multinomial(count, masses / masses.sum())
        order, seeds = random.permutation(count), random.integers(2**62, size=[count, 2])
        parts, drawn, done = [], [], 0
        for (actor, memory), number in zip(self._memories.items(), counts, strict=True):
            if number:
                batches, index, numbers = memory.sample(seeds[done : done + number], step)
                parts.append(batches)
                drawn += [(actor, *of_batch) for of_batch in zip(index, numbers, strict=True)]
                done += number
        drawn = [drawn[place] for place in order]
        name = f"{self._life}/{self._samples}"
        self._drawn[name] = drawn
        while len(self._drawn) > PENDING:
            self._drawn.popitem(last=False)
        arrays = {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
        return pack(arrays, {"sample": name, "shard": self._index})

    def update_priorities(self, packed: bytes) -> None:
        """Sets the priorities `[count, B]` of a sample; rows that have been overwritten since keep theirs."""
        arrays, about = unpack(packed)
        for (actor, index, numbers), priorities in zip(
            self._drawn.pop(about["sample"], ()), arrays["priorities"], strict=False
        ):
            self._dropped += self._memories[actor].update_priorities(index, numbers, priorities)

    def status(self) -> bytes:
        """How many transitions are stored and how many ever were, priorities that came too late, and blocks left out."""
        memories = self._memories.values()
        about = {
            "shard": self._index,
            "stored": sum(memory.stored for memory in memories),
            "inserted": sum(memory.inserted for memory in memories),
            "ready": bool(sum(memory.mass for memory in memories) > 0.0),
            "dropped": self._dropped,
            "left_out": sum(memory.left_out for memory in memories),
        }
        return pack({}, about)

    def batch_specs(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and dtype of each column of a batch."""
        return next(iter(self._memories.values())).batch_specs()

    def save(self, directory: str) -> bytes:
        """Writes all memories into a directory of the checkpoint that is being written; gives `status`.

        Raises:
            NotBegunError: before `begin` and `restore`.
        """
        self._check_begun()
        for actor, memory in self._memories.items():
            where = Path(directory) / f"actor-{actor}"
            where.mkdir(parents=True)
            memory.save(where)
        (Path(directory) / f"shard-{self._index}.json").write_text(json.dumps({"samples": self._samples}))
        return self.status()

    def restore(self, directory: str) -> bytes:
        """Reads what `save` wrote; gives `status`."""
        state = Path(directory) / f"shard-{self._index}.json"
        if state.exists():  # There may have been fewer shards.
            self._samples = int(json.loads(state.read_text())["samples"])
        self._drawn.clear()
        for actor, memory in self._memories.items():
            memory.restore(Path(directory) / f"actor-{actor}")
        return self.begin()

    def _check_begun(self) -> None:
        if not self._has_begun:
            text = "knows nothing of the run, as its process is new. Call begin or restore first."
            raise NotBegunError(f"Shard {self._index} {text}")


class _Memory:
    """The memory of one actor, its compiled calls, and which transition is at each position.

    Attributes:
        inserted: how many transitions ever were stored.
        stored: how many there are.
        mass: see `Replay.mass`.
        left_out: blocks that were not stored.
    """

    def __init__(self, task: ShardTask):
        self._replay = copy.deepcopy(task.memory)
        self._replay.size = max(task.memory.size // task.actors, 1)
        self._replay.build(task.specs, task.num_envs)
        self._numbers = np.zeros(self._replay.storage.capacity, np.int64)  # Of the transition at each position, from 1.
        self._newest: tuple[str, int] | None = None  # Life and number of the newest block.
        self.inserted, self.stored, self.mass, self.left_out = 0, 0, 0.0, 0
        seed, step = tf.TensorSpec([2], tf.int64), tf.TensorSpec([], tf.int64)
        self._batch = traced(self._sampled_once).get_concrete_function(seed, step).structured_outputs
        self._sample = traced(self._sampled, input_signature=[tf.TensorSpec([None, 2], tf.int64), step])
        self._insert = self._changing(self._replay.add_steps)
        self._update = self._changing(self._replay.update_priorities)
        self._update_sequences = self._changing(self._sequences_first)
        self._start = self._changing(self._replay.start_episodes)
        self._look = self._changing(lambda: None)
        self._look()

    def _changing(self, change: Callable[..., Any]) -> Callable[..., Any]:
        """A compiled call that changes the memory, and gives how much it holds, which takes long by itself."""

        def changed(*arguments: Any) -> Any:
            result = change(*arguments)
            return result, self._replay.inserted.read_value(), self._replay.stored(), self._replay.mass()

        call = traced(changed)

        def called(*arguments: Any) -> Any:
            result, inserted, stored, mass = call(*arguments)
            self.inserted, self.stored, self.mass = int(inserted), int(stored), float(mass)
            return result

        return called

    def batch_specs(self) -> dict[str, tuple[tuple[int, ...], str]]:
        return {name: (tuple(spec.shape), spec.dtype.name) for name, spec in self._batch[0].items()}

    def insert(self, columns: Mapping[str, np.ndarray], priorities: np.ndarray | None, life: str, number: int) -> None:
        """Stores a block, the `number`-th of an actor's life, from 0."""
        if number > 0 and self._newest != (life, number - 1):
            self.left_out += 1
            return
        if number == 0 and self.inserted:  # The episodes before were cut off.
            self._start()
        self._newest = life, number
        before = self.inserted
        positions = self._insert({name: tf.constant(values) for name, values in columns.items()}).numpy()  # [T, N]
        self._numbers[positions.reshape(-1)] = before + 1 + np.arange(positions.size)
        if priorities is not None and self._replay.SEQUENCES:
            self._update_sequences(tf.constant(priorities), len(positions))
        elif priorities is not None:
            self._update(tf.constant(positions.reshape(-1), tf.int32), tf.constant(priorities.reshape(-1)))

    def sample(self, seeds: np.ndarray, step: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """A batch for each of the seeds `[k, 2]`, their positions `[k, B]`, and the numbers of the transitions there."""
        batches, index = self._sample(tf.constant(seeds, tf.int64), tf.constant(step, tf.int64))
        positions = index.numpy()
        return {name: values.numpy() for name, values in batches.items()}, positions, self._numbers[positions]

    def update_priorities(self, index: np.ndarray, numbers: np.ndarray, priorities: np.ndarray) -> int:
        """Sets the priorities of those that are still there; gives how many are not."""
        gone = self._numbers[index] != numbers
        known = np.where(gone, np.nan, np.asarray(priorities, np.float32))  # NaN leaves the old one.
        self._update(tf.constant(index), tf.constant(known, tf.float32))
        return int(np.count_nonzero(gone))

    def save(self, directory: Path) -> None:
        shards.write(self._replay, directory)
        np.save(directory / "numbers.npy", self._numbers)

    def restore(self, directory: Path) -> None:
        shards.read(self._replay, directory)
        self._look()
        self._numbers[:] = np.load(directory / "numbers.npy", allow_pickle=False)
        self._newest = None  # What follows is of another life.

    def _sequences_first(self, priorities: tf.Tensor, steps: int) -> None:
        """Sets the first priorities `[K, N]` of the sequences that a block of so many steps made whole."""
        replay: Any = self._replay
        first, is_there = replay.made_whole(steps)
        known = tf.where(is_there, priorities, np.nan)  # NaN leaves the old one.
        replay.update_sequences(tf.reshape(first, [-1]), tf.reshape(known, [-1]))

    def _sampled(self, seeds: tf.Tensor, step: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        form = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), self._batch)
        return tf.map_fn(lambda seed: self._sampled_once(seed, step), seeds, fn_output_signature=form)

    def _sampled_once(self, seed: tf.Tensor, step: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        drawn = self._replay.draw(seed, step)
        return self._replay.read(drawn), drawn["index"]
