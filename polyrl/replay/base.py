"""`Replay`: what all replay memories share. A subclass chooses which transitions to sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf

from polyrl.demos import Demonstrations
from polyrl.replay.frames import FrameStorage
from polyrl.replay.mixed import MixedStorage, store_demonstrations
from polyrl.replay.storage import Storage, Written
from polyrl.replay.transitions import TransitionStorage
from polyrl.validation import check_int


class Replay(tf.Module):
    """A memory of the newest transitions, in TensorFlow variables, written and sampled inside the compiled update.

    It has room for rows once `build` has told it what they are.

    Args:
        size: capacity, in transitions.
        batch_size: rows of a sample.
        n_step: steps of a transition (Sutton 1988). Above 1 a sample holds windows of rewards and ends, which a model reduces
            with its own discount; rows are stored once all the same.
        frame_stack: None, or the number of frames that a state stacks on its last axis, the newest last; the first frame of an
            episode is repeated. Each frame is then stored once, and stacks are rebuilt in sampling, bit for bit. `size`
            counts frames: each episode takes one more than it has transitions.
        demonstrations: None, or episodes that stay in the memory for good, beside the `size` newest transitions. A sample then
            has the column `expert` float32 `[B]`, 1 for rows of theirs; as long as there are no others, all are.

    Attributes:
        PRIORITIZED: whether `update_priorities` has an effect.
        xla: whether XLA may do what it does much faster than TensorFlow; set before `build`.
    """

    PRIORITIZED: ClassVar[bool] = False

    def __init__(
        self,
        size: int = 50_000,
        batch_size: int = 64,
        *,
        n_step: int = 1,
        frame_stack: int | None = None,
        demonstrations: Demonstrations | None = None,
    ):
        super().__init__(name="replay")
        self.size = check_int("size", size, minimum=1)
        self.batch_size = check_int("batch_size", batch_size, minimum=1)
        if self.batch_size > self.size:
            raise ValueError(f"batch_size={batch_size} must not exceed the memory's size={size}.")
        self.n_step = check_int("n_step", n_step, minimum=1)
        self.frame_stack = None if frame_stack is None else check_int("frame_stack", frame_stack, minimum=1)
        if demonstrations is not None and not isinstance(demonstrations, Demonstrations):
            raise TypeError(
                f"demonstrations={demonstrations!r} must be Demonstrations, as polyrl.demos.load(path) gives them."
            )
        self.demonstrations = demonstrations
        self.num_envs = 0
        self.xla = True
        self._specs: dict[str, tf.TensorSpec] = {}

    def build(self, specs: Mapping[str, tf.TensorSpec], num_envs: int = 1) -> None:
        """Makes room; a second call with the same arguments does nothing.

        Args:
            specs: of one row, without batch dimension: `state`, `action` int32, `reward` float32, `done` float32 (terminated),
                `next_state`, and optionally `truncated` float32 (zeros without it). Of more that belongs to a state, say
                `action_mask` bool `[A]`, there is a column for the next state, too: `next_action_mask`.
            num_envs: how many environments run in lockstep, `N`. With `n_step` 1 and without `frame_stack` it plays no part.

        Raises:
            ValueError: if the memory was built for other rows, or it or the demonstrations do not fit these.
        """
        num_envs = check_int("num_envs", num_envs, minimum=1)
        if self._specs:
            self._check_same(specs, num_envs)
            return
        storage = self._build_storage(specs, num_envs)
        if self.demonstrations is not None:
            kept, starts = store_demonstrations(self.demonstrations, specs, self.n_step, self.frame_stack, self.xla)
            self._demo_positions = starts + storage.capacity
            storage = MixedStorage(storage, kept, self.demonstrations.fingerprint, self._demo_rows)
        self._storage = storage
        self._specs = {name: tf.TensorSpec(spec.shape, spec.dtype) for name, spec in specs.items()}
        self.num_envs = num_envs

    def add(self, rows: Mapping[str, tf.Tensor]) -> None:
        """Stores one lockstep, `[N, ...]`, row `n` from environment `n`; the oldest rows give way.

        With `n_step` 1 and without `frame_stack`, `N` may be any number.

        Raises:
            ValueError: for other columns than the memory was built for, or another number of rows.
        """
        if {*rows, "truncated"} != {*self._specs, "truncated"}:
            raise ValueError(f"rows have the columns {sorted(rows)}; the memory was built for {sorted(self._specs)}.")
        rows = {name: tf.convert_to_tensor(values) for name, values in rows.items()}
        count = rows["action"].shape[0] if "action" in rows else next(iter(rows.values())).shape[0]
        if self._in_lockstep and count != self.num_envs:
            raise ValueError(f"rows has {count} rows; the memory was built for num_envs={self.num_envs}.")
        self._note(self._storage.add(rows))

    def sample(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        """A batch: `state`, `action`, `reward`, `done`, `next_state`, each `[B, ...]`; nothing can be sampled out of nothing.

        With `n_step` > 1 `reward`, `done` and `truncated` are windows `[B, n]` of consecutive steps; `next_state`, as every
        column `next_...`, is the one after the last step that counts: the first that ended the episode, or the window's last.
        What lies beyond the newest step counts as truncated.

        Args:
            seed: `[2]`; the same seed picks the same rows of the same memory.
            step: `global_step` (updates).
        """
        return self.read(self.draw(seed, step))

    def draw(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        """Which rows a batch has: `index` int32 `[B]`, and what else `read` needs. The arguments are those of `sample`."""
        raise NotImplementedError

    def read(self, drawn: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The batch of the rows that were drawn."""
        return self._storage.gather(tf.cast(drawn["index"], tf.int64))

    @property
    def drawn_specs(self) -> dict[str, tf.TensorSpec]:
        """Of what `draw` gives."""
        return {"index": tf.TensorSpec([self.batch_size], tf.int32)}

    def update_priorities(self, index: tf.Tensor, priorities: tf.Tensor) -> None:
        """Gives the rows at `index` `[B]`, as sampled, new priorities `[B]`, if the memory has any."""

    def stored(self) -> tf.Tensor:
        """How many transitions there are to sample from, int64 scalar."""
        return self._storage.stored()

    def start_episodes(self) -> None:
        """Says that every environment starts an episode now, though its last one was not seen to end, as on resuming.

        Without it `n_step` windows and frame stacks would reach over the gap.
        """
        self._storage.start_episodes()

    @property
    def columns(self) -> dict[str, tf.Tensor]:
        """All that is stored, by position, unused room included; for looking at, not for the loop."""
        return self._storage.columns

    @property
    def inserted(self) -> tf.Variable:
        """Transitions ever stored, int64 scalar."""
        return self._storage.inserted

    def _note(self, written: Written) -> None:
        """What else is to do for new rows."""

    _demo_rows = 0
    """How many rows of a uniform sample are demonstrations."""

    @property
    def _in_lockstep(self) -> bool:
        return self.n_step > 1 or self.frame_stack is not None

    def _build_storage(self, specs: Mapping[str, tf.TensorSpec], num_envs: int) -> Storage:
        if self.frame_stack is not None:
            return FrameStorage(specs, self.size, num_envs, self.n_step, self.frame_stack, self.xla)
        return TransitionStorage(specs, self.size, num_envs, self.n_step)

    def _check_same(self, specs: Mapping[str, tf.TensorSpec], num_envs: int) -> None:
        for name in {*specs, *self._specs}:
            new, old = specs.get(name), self._specs.get(name)
            if new is None or old is None or new.shape != old.shape or new.dtype != old.dtype:
                raise ValueError(f"The memory was built for other transitions: {name} is now {new}, was {old}.")
        if self._in_lockstep and num_envs != self.num_envs:
            raise ValueError(f"The memory was built for other transitions: num_envs is now {num_envs}, was {self.num_envs}.")

    _storage: Storage
    _demo_positions: np.ndarray
