"""`Replay`: the base class of all replay memories. A subclass decides which transitions to sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from polyrl.demos import Demonstrations
from polyrl.replay.checking import check_specs, checked_index, checked_seed, checked_transitions, main_memory
from polyrl.replay.frames import FrameStorage
from polyrl.replay.mixed import MixedStorage, store_demonstrations
from polyrl.replay.storage import Rows, Storage, Written
from polyrl.replay.transitions import TransitionStorage
from polyrl.validation import check_int

HINTS = {
    **dict.fromkeys(
        ("capacity", "buffer_size", "memory_size", "max_size", "maxlen", "max_length", "replay_size"), "Use size."
    ),
    **dict.fromkeys(("sample_size", "minibatch_size"), "Use batch_size."),
    **dict.fromkeys(("n_steps", "num_steps"), "Use n_step."),
    **dict.fromkeys(("n_stack", "num_frames", "stack"), "Use frame_stack."),
    **dict.fromkeys(("demos", "expert_data"), "Use demonstrations."),
    **dict.fromkeys(("sequence_length", "stride"), "It is an argument of SequenceReplay and PrioritizedSequenceReplay."),
    **dict.fromkeys(("alpha", "beta", "beta_steps", "epsilon", "demo_epsilon"), "It is an argument of PrioritizedReplay."),
    "demo_share": "It is an argument of UniformReplay.",
    "seed": "Use RunConfig(seed=...).",
}
"""What arguments of other libraries' memories are called here."""


class Replay(tf.Module):
    """A memory of the newest transitions, in TensorFlow variables, written and sampled inside the compiled update.

    `build` allocates the storage, once the shapes and dtypes of a transition are known.

    Args:
        size: capacity, in transitions.
        batch_size: number of transitions in a batch, `B`.
        n_step: number of steps in an n-step transition (Sutton 1988). Above 1 a batch holds windows of rewards, terminations
            and truncations, which the model reduces with its own discount. Each transition is stored once in either case.
        frame_stack: None, or the number of frames that a state stacks on its last axis, the newest last; the first frame of an
            episode is repeated. Each frame is then stored once, and the stacks are rebuilt bit for bit when sampling. `size`
            counts frames: an episode takes one more than its number of transitions.
        demonstrations: None, or episodes that are kept permanently, in addition to the `size` newest transitions. A batch then
            has the column `expert` float32 `[B]`, 1 for demonstrations. Until the agent has stored transitions of its own,
            every row is a demonstration.

    Attributes:
        PRIORITIZED: whether `update_priorities` has an effect.
        SEQUENCES: whether batches are sequences of consecutive steps.
        xla: whether XLA may be used for the operations that it runs much faster than TensorFlow; set it before `build`.
    """

    PRIORITIZED: ClassVar[bool] = False
    SEQUENCES: ClassVar[bool] = False
    FURTHER_ARGUMENTS: ClassVar[tuple[str, ...]] = ()
    """Attributes that hold the arguments of a subclass, for checkpoints."""

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
        if self.size >= 2**31:
            raise ValueError(f"size={size} must be below 2**31: rows are counted by int32.")
        self.batch_size = check_int("batch_size", batch_size, minimum=1)
        if self.batch_size > self.size:
            raise ValueError(f"batch_size={batch_size} must not exceed the memory's size={size}.")
        self.n_step = check_int("n_step", n_step, minimum=1)
        self.frame_stack = None if frame_stack is None else check_int("frame_stack", frame_stack, minimum=1)
        if demonstrations is not None and not isinstance(demonstrations, Demonstrations):
            raise TypeError(
                f"demonstrations={demonstrations!r} must be Demonstrations, as returned by polyrl.demos.load(path)."
            )
        self.demonstrations = demonstrations
        self.num_envs = 0
        self.xla = True
        self._owner: object = None
        self._specs: dict[str, tf.TensorSpec] = {}

    @property
    def described(self) -> dict[str, Any]:
        """Its arguments by name, as a checkpoint notes them."""
        names = ("size", "batch_size", "n_step", "frame_stack", *self.FURTHER_ARGUMENTS)
        demonstrations = None if self.demonstrations is None else self.demonstrations.fingerprint
        described = {name: getattr(self, name) for name in names}
        return {"prioritized": self.PRIORITIZED, **described, "demonstrations": demonstrations}

    def belong_to(self, owner: object) -> None:
        """The first call records the owner of the transitions; a ValueError if a later one names another owner."""
        if self._owner is not None and self._owner is not owner:
            raise ValueError(
                "memory holds the transitions of another Agent, and they would be mixed with those of this one; make a new "
                f"{type(self).__name__} for each Agent."
            )
        self._owner = owner

    def build(self, specs: Mapping[str, tf.TensorSpec], num_envs: int = 1) -> None:
        """Allocates the storage; a second call with the same arguments does nothing.

        Args:
            specs: the columns of one transition, without batch dimension: `state`, `action` int32, `reward` float32, `done`
                float32 (terminated), `next_state`, and optionally `truncated` float32 (zeros by default). Any further part of
                a state, such as `action_mask` bool `[A]`, has a second column for the next state: `next_action_mask`.
            num_envs: number of parallel environments, `N`. It is not used with `n_step` 1 and without `frame_stack`.

        Raises:
            ValueError: if the memory was built for other columns, or if it or the demonstrations do not fit these columns; or
                if there is not enough main memory.
        """
        num_envs = check_int("num_envs", num_envs, minimum=1)
        check_specs(specs)
        if self._specs:
            self._check_same(specs, num_envs)
            return
        needed = self.size * self._row_bytes(specs) / 1e9
        too_large = ValueError(
            f"size={self.size} transitions take {needed:.1f} GB, more main memory than there is; use a smaller size, or "
            "smaller observations, or store each frame once with frame_stack."
        )
        if needed > main_memory():  # TensorFlow would wait for it for ten seconds.
            raise too_large
        try:
            storage = self._build_storage(specs, num_envs)
        except tf.errors.ResourceExhaustedError as error:
            raise too_large from error
        if self.demonstrations is not None:
            kept, starts = store_demonstrations(self.demonstrations, specs, self.n_step, self.frame_stack, self.xla)
            self._demo_positions = starts + storage.capacity
            storage = MixedStorage(storage, kept, self._demo_rows)
        self._storage = storage
        self._specs = {name: tf.TensorSpec(spec.shape, spec.dtype) for name, spec in specs.items()}
        self.num_envs = num_envs

    def add(self, rows: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Stores one step of all environments, `[N, ...]`, row `n` from environment `n`; the oldest rows are overwritten.

        Returns the positions of those that are kept, int64 `[N]`.

        With `n_step` 1 and without `frame_stack`, `N` may be any number.

        Raises:
            TypeError, ValueError: if the columns or the number of rows differ from those that the memory was built for, or,
                eagerly, for numbers that no transition has; see `checked_transitions`.
        """
        storage = self.storage
        rows = checked_transitions(rows, self._specs)
        count = next(iter(rows.values())).shape[0]
        if self.in_lockstep and count != self.num_envs:
            raise ValueError(f"rows has {count} rows; the memory was built for num_envs={self.num_envs}.")
        written = storage.add(rows)
        self._after_add(written)
        return written.new

    def add_steps(self, rows: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Stores `T` steps of all environments, `[T, N, ...]`, the oldest first; returns their positions, int64 `[T, N]`.

        With `frame_stack`, the newest frame of each state and next state is enough, `[T, N, ..., 1]`.
        """
        storage: Any = self.storage
        steps, num_envs = next(iter(rows.values())).shape[:2]
        if type(storage) not in (TransitionStorage, FrameStorage):
            return tf.map_fn(self.add, dict(rows), fn_output_signature=tf.int64, parallel_iterations=1)
        is_newest = isinstance(storage, FrameStorage) and rows["state"].shape[-1] == 1
        specs = storage.newest_specs if is_newest else self._specs
        most, stored = storage.most_steps(num_envs), []
        for first in range(0, steps, most):
            part = {name: column[first : first + most] for name, column in rows.items()}
            flat = {name: tf.reshape(column, [-1, *column.shape[2:]]) for name, column in part.items()}
            written = storage.add_steps(checked_transitions(flat, specs), min(most, steps - first))
            self._after_add(written)
            stored.append(tf.reshape(written.new, [min(most, steps - first), -1]))
        return tf.concat(stored, axis=0)

    def sample(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        """A batch: `state`, `action`, `reward`, `done`, `next_state`, each `[B, ...]`. An empty memory gives zeros in a graph.

        With `n_step` > 1 `reward`, `done` and `truncated` are windows `[B, n]` of consecutive steps. `next_state`, like every
        column `next_...`, belongs to the last step that counts: the one that ended the episode, or else the window's last.
        A window that reaches the newest stored step is truncated there.

        Args:
            seed: int `[2]`; the same seed samples the same rows of the same memory.
            step: `global_step` (gradient updates).

        Raises:
            RuntimeError: eagerly, if the memory is empty.
        """
        seed = checked_seed(seed)
        if tf.executing_eagerly() and int(self.stored()) == 0:
            raise RuntimeError(f"{type(self).__name__} is empty; add transitions before sampling.")
        return self.read(self.draw(seed, step))

    def draw(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        """Chooses the rows of a batch: `index` int32 `[B]`, and whatever else `read` needs. Same arguments as `sample`."""
        raise NotImplementedError(f"{type(self).__name__} must define draw; UniformReplay and PrioritizedReplay do.")

    def read(self, drawn: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The batch of the rows that `draw` chose."""
        return self.storage.gather(tf.cast(checked_index(drawn["index"], self.storage.capacity), tf.int64))

    @property
    def storage(self) -> Storage:
        """Where the transitions are; a RuntimeError before `build`."""
        if not self._specs:
            raise RuntimeError(f"{type(self).__name__} has no storage yet; call build(specs) first, as Agent.train does.")
        return self._storage

    @property
    def drawn_specs(self) -> dict[str, tf.TensorSpec]:
        """Specs of the tensors that `draw` returns."""
        return {"index": tf.TensorSpec([self.batch_size], tf.int32)}

    def update_priorities(self, index: tf.Tensor, priorities: tf.Tensor) -> None:
        """Sets the priorities `[B]` of the sampled rows `index` `[B]`; does nothing in a memory without priorities."""

    def stored(self) -> tf.Tensor:
        """Number of transitions that can be sampled, int64 scalar."""
        return self.storage.stored()

    def mass(self) -> tf.Tensor:
        """What its share is among several memories that are sampled together, a scalar: the transitions that are stored, or
        with priorities the sum of these."""
        return self.stored()

    def start_episodes(self) -> None:
        """Marks that every environment starts a new episode although the last one was not seen to end (after a resume).

        Otherwise `n_step` windows and frame stacks would mix two episodes.
        """
        self.storage.start_episodes()

    def newest(self, steps: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What up to `steps` newest steps of each environment gave: rewards, 1 where an episode terminated, and 1 where one
        was truncated, all float32 `[T, N]`, oldest first. Demonstrations are not among them."""
        return self.storage.newest(steps)

    @property
    def columns(self) -> dict[str, tf.Tensor]:
        """Everything that is stored, by position, including unused rows; for inspection, not for the training loop."""
        return self.storage.columns

    @property
    def rows(self) -> Rows:
        """What is large in the memory, row by row, for checkpoints."""
        return self.storage.rows

    @property
    def inserted(self) -> tf.Variable:
        """Number of transitions ever stored, int64 scalar."""
        return self.storage.inserted

    def _after_add(self, written: Written) -> None:
        """Called after each write; a subclass updates here what it keeps for each row, such as priorities."""

    _demo_rows = 0
    """Number of demonstrations in a uniform batch."""

    @property
    def in_lockstep(self) -> bool:
        """Whether rows are found by their environment, so that all steps must have as many rows as there are environments."""
        return self.n_step > 1 or self.frame_stack is not None

    def _build_storage(self, specs: Mapping[str, tf.TensorSpec], num_envs: int) -> Storage:
        if self.frame_stack is not None:
            return FrameStorage(specs, self.size, num_envs, self.n_step, self.frame_stack, self.xla)
        return TransitionStorage(specs, self.size, num_envs, self.n_step)

    def _row_bytes(self, specs: Mapping[str, tf.TensorSpec]) -> float:
        """Size of one transition in bytes."""
        sizes = {name: math.prod(spec.shape) * spec.dtype.size for name, spec in specs.items()}
        if self.frame_stack is not None:  # One frame of the two stacks.
            sizes |= {"state": sizes["state"] / self.frame_stack, "next_state": 0}
        return sum(sizes.values())

    def _check_same(self, specs: Mapping[str, tf.TensorSpec], num_envs: int) -> None:
        for name in {*specs, *self._specs}:
            new, old = specs.get(name), self._specs.get(name)
            if new is None or old is None or new.shape != old.shape or new.dtype != old.dtype:
                raise ValueError(f"The memory was built for other transitions: {name} is now {new}, was {old}.")
        if self.in_lockstep and num_envs != self.num_envs:
            raise ValueError(f"The memory was built for other transitions: num_envs is now {num_envs}, was {self.num_envs}.")

    _storage: Storage
    _demo_positions: np.ndarray
