"""`RolloutMemory` and `SequenceReplay`: batches of sequences, of the newest steps alone, or of all that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from polyrl.replay.base import HINTS, Replay
from polyrl.replay.sequences import NETWORK_STATE, SequenceStorage
from polyrl.replay.storage import Storage
from polyrl.validation import check_bool, check_int, explains


class SequenceMemory(Replay):
    """What the two have in common: a batch has `S` sequences of `T` consecutive steps of one environment each."""

    SEQUENCES: ClassVar[bool] = True

    def draw(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        """The steps of the sequences, one sequence after the other: `index` int32 `[B]`; arguments as of `Replay.draw`."""
        steps = tf.range(self.sequence_length, dtype=tf.int64) * self.num_envs  # [T]
        numbers = self._first(seed, tf.cast(step, tf.int64))[:, tf.newaxis] + steps  # [S, T]
        return {"index": tf.cast(tf.reshape(numbers, [-1]) % self.size, tf.int32)}

    def read(self, drawn: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The sequences: each column `[S, T, ...]`, see `SequenceStorage.gather`."""
        return super().read({"index": drawn["index"][:: self.sequence_length]})

    @property
    def in_lockstep(self) -> bool:
        return True

    @property
    def sequence_length(self) -> int:
        """Steps of a sequence, `T`."""
        raise NotImplementedError(f"{type(self).__name__} must define sequence_length.")

    def _first(self, seed: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The first step of each sequence, int64 `[S]`, counted since the run began."""
        raise NotImplementedError(f"{type(self).__name__} must define _first.")

    @property
    def _oldest(self) -> tf.Tensor:
        """The oldest step that is stored, counted since the run began."""
        return tf.maximum(self.inserted.read_value() - self.size, 0)


@explains(HINTS)
class RolloutMemory(SequenceMemory):
    """Holds one rollout: `size / num_envs` consecutive steps of each environment, for models that learn on-policy.

    A batch has whole sequences, those of `batch_size * num_envs / size` environments; in `size / batch_size` consecutive
    updates each environment occurs once, in an order that is drawn again each time. So with `update_frequency=size` and
    `updates_at_once=epochs * size / batch_size` each rollout is gone through `epochs` times (Schulman et al. 2017).

    Args:
        size: transitions of a rollout, of all environments together.
        batch_size: transitions in a batch; divides `size`.
    """

    def __init__(self, size: int = 1_024, batch_size: int = 256):
        super().__init__(size, batch_size)
        if self.size % self.batch_size:
            raise ValueError(f"batch_size={batch_size} must divide size={size}: a rollout is divided into batches.")
        self._batches = self.size // self.batch_size

    @property
    def sequence_length(self) -> int:
        return self.size // self.num_envs

    def _first(self, seed: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        epoch, batch = step // self._batches, tf.cast(step % self._batches, tf.int32)
        # By the epoch, not the step: all batches of an epoch have one order.
        seeds = tf.stack([tf.cast(seed[0], tf.int64), epoch])
        drawn = tf.random.stateless_uniform([self.num_envs], seeds, None, None, tf.int32, alg="philox")
        count = self.num_envs // self._batches
        chosen = tf.gather(tf.argsort(drawn), batch * count + tf.range(count))  # [S]
        return self._oldest + tf.cast(chosen, tf.int64)

    def _build_storage(self, specs: Mapping[str, tf.TensorSpec], num_envs: int) -> Storage:
        if self.size % num_envs or num_envs % self._batches:
            raise ValueError(
                f"size={self.size} must be a multiple of num_envs={num_envs}, and num_envs of size / batch_size="
                f"{self._batches}: a batch has the whole rollout of some environments. By flags size is --update_frequency."
            )
        return SequenceStorage(specs, self.size, num_envs, self.size // num_envs)


@explains(HINTS)
class SequenceReplay(SequenceMemory):
    """Keeps the newest transitions and samples sequences of consecutive steps, each equally likely, with replacement.

    A sequence may reach over the end of an episode: the labels say where. With a recurrent network a batch has the column
    `network_state` `[S, H]`: what was remembered before the first steps when they were taken (Kapturowski et al. 2019).

    Args:
        size: capacity, in transitions.
        batch_size: transitions in a batch, a multiple of `sequence_length`.
        sequence_length: steps of a sequence.
        n_step: number of steps in an n-step transition, see `Replay`; it ends at the latest with its sequence.
        stored_state: whether what a recurrent network remembers is stored; without, sequences begin with nothing remembered
            (Hausknecht & Stone 2015).
    """

    FURTHER_ARGUMENTS = ("sequence_length", "stored_state")

    def __init__(
        self,
        size: int = 50_000,
        batch_size: int = 256,
        *,
        sequence_length: int = 16,
        n_step: int = 1,
        stored_state: bool = True,
    ):
        super().__init__(size, batch_size, n_step=n_step)
        self._length = check_int("sequence_length", sequence_length, minimum=1)
        check_sequences(self.batch_size, self._length, self.n_step)
        self.stored_state = check_bool("stored_state", stored_state)

    @property
    def sequence_length(self) -> int:
        return self._length

    def build(self, specs: Mapping[str, tf.TensorSpec], num_envs: int = 1) -> None:
        super().build(self._kept(specs), num_envs)

    def add(self, rows: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return super().add(self._kept(rows))

    def _kept(self, columns: Any) -> Any:
        """The columns that are stored."""
        if self.stored_state or not isinstance(columns, Mapping):
            return columns
        return {name: column for name, column in columns.items() if name != NETWORK_STATE}

    def _first(self, seed: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        whole = self.stored() - (self._length - 1) * self.num_envs
        numbers = self.batch_size // self._length
        # As long as none is whole they begin with the oldest steps.
        last = tf.where(whole > 0, whole, tf.clip_by_value(self.stored(), 1, self.num_envs))
        return self._oldest + tf.random.stateless_uniform([numbers], seed, 0, last, tf.int64, alg="philox")

    def _build_storage(self, specs: Mapping[str, tf.TensorSpec], num_envs: int) -> Storage:
        return SequenceStorage(specs, self.size, num_envs, self._length, self.n_step)


def check_sequences(batch_size: int, sequence_length: int, n_step: int) -> None:
    """A ValueError unless a batch has whole sequences, and windows of `n_step` steps fit into one."""
    if n_step > sequence_length:
        raise ValueError(
            f"n_step={n_step} must not exceed sequence_length={sequence_length}: windows end with their sequence."
        )
    if batch_size % sequence_length:
        raise ValueError(f"batch_size={batch_size} must be a multiple of sequence_length={sequence_length}.")
