"""`PrioritizedSequenceReplay`: sequences with large TD errors are sampled more often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from polyrl.replay.base import HINTS
from polyrl.replay.prioritized import PrioritizedReplay
from polyrl.replay.rollouts import check_sequences
from polyrl.replay.sequences import SequenceStorage
from polyrl.replay.storage import Storage, Written
from polyrl.validation import check_float, check_int, explains


@explains(HINTS)
class PrioritizedSequenceReplay(PrioritizedReplay):
    """Keeps the newest transitions; samples sequences by their priorities (Kapturowski et al. 2019).

    Sequences begin at every `stride`-th step of each environment, and can be sampled when they are whole. A batch is as that
    of `SequenceReplay`, with `weights` float32 `[S, T]`. The priority of a sequence is `max_share * max + (1 - max_share) *
    mean` of its steps' priorities, which are 0 in its burn-in.

    Args:
        size: capacity, in transitions.
        batch_size: transitions in a batch, a multiple of `sequence_length`.
        sequence_length: steps of a sequence, at least 2.
        stride: steps from the beginning of a sequence to that of the next one; by default half of `sequence_length`.
        n_step: number of steps in an n-step transition; it ends at the latest with its sequence.
        alpha: exponent of the priorities, in [0, 1].
        beta: exponent of the importance-sampling weights at the first update, in [0, 1].
        beta_steps: gradient updates over which beta grows linearly to 1.
        epsilon: added to each priority, so that none is zero.
        max_share: eta in the paper, in [0, 1].
    """

    SEQUENCES: ClassVar[bool] = True
    FURTHER_ARGUMENTS: ClassVar[tuple[str, ...]] = (
        *PrioritizedReplay.FURTHER_ARGUMENTS,
        *("sequence_length", "stride", "max_share"),
    )

    def __init__(
        self,
        size: int = 50_000,
        batch_size: int = 256,
        *,
        sequence_length: int = 16,
        stride: int | None = None,
        n_step: int = 1,
        alpha: float = 0.9,
        beta: float = 0.6,
        beta_steps: int = 100_000,
        epsilon: float = 1e-6,
        max_share: float = 0.9,
    ):
        how = {"alpha": alpha, "beta": beta, "beta_steps": beta_steps, "epsilon": epsilon}
        super().__init__(size, batch_size, n_step=n_step, **how)  # type: ignore[arg-type]
        self.sequence_length = check_int("sequence_length", sequence_length, minimum=2)
        check_sequences(self.batch_size, self.sequence_length, self.n_step)
        self.stride = self.sequence_length // 2 if stride is None else check_int("stride", stride, minimum=1)
        self.max_share = check_float("max_share", max_share, 0.0, 1.0)

    def draw(self, seed: tf.Tensor, step: tf.Tensor | int = 0) -> dict[str, tf.Tensor]:
        """The steps of the sequences, one sequence after the other: `index` int32 `[B]`; and `weights` `[S]`."""
        drawn = self._drawn(seed, self.batch_size // self.sequence_length, step)
        return {**drawn, "index": self.steps_of(drawn["index"])}

    def steps_of(self, first: tf.Tensor) -> tf.Tensor:
        """The steps of sequences that begin at `first` `[S]`, one sequence after the other: int32 `[S T]`."""
        steps = tf.range(self.sequence_length) * self.num_envs  # [T]
        return tf.reshape((first[:, tf.newaxis] + steps) % self.size, [-1])

    def read(self, drawn: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The sequences: each column `[S, T, ...]`."""
        index = tf.reshape(drawn["index"], [-1, self.sequence_length])
        batch = self.storage.gather(tf.cast(index[:, 0], tf.int64))
        weights = tf.repeat(drawn["weights"][:, tf.newaxis], self.sequence_length, axis=1)
        return {**batch, "index": index, "weights": weights}

    @property
    def drawn_specs(self) -> dict[str, tf.TensorSpec]:
        sequences = self.batch_size // self.sequence_length
        return {**super().drawn_specs, "weights": tf.TensorSpec([sequences], tf.float32)}

    @property
    def in_lockstep(self) -> bool:
        return True

    def update_priorities(self, index: tf.Tensor, priorities: tf.Tensor) -> None:
        """Sets the priorities of sequences by those of their steps, `[B]`, in the order of `draw`."""
        self.update_sequences(tf.reshape(index, [-1])[:: self.sequence_length], self.mixed(priorities))

    def mixed(self, priorities: tf.Tensor) -> tf.Tensor:
        """The priorities of sequences by those of their steps, `[S T]`: float32 `[S]`."""
        steps = tf.abs(tf.reshape(tf.cast(priorities, tf.float32), [-1, self.sequence_length]))  # [S, T]
        return self.max_share * tf.reduce_max(steps, axis=1) + (1.0 - self.max_share) * tf.reduce_mean(steps, axis=1)

    def update_sequences(self, first: tf.Tensor, priorities: tf.Tensor) -> None:
        """Sets the priorities `[S]` of sequences that begin at `first` `[S]`; where one is not finite the old one stays."""
        super().update_priorities(first, priorities)

    def made_whole(self, steps: int, since: tf.Tensor | int = 0) -> tuple[tf.Tensor, tf.Tensor]:
        """The sequences that the newest `steps` steps of each environment made whole, with `K = steps / stride` of each.

        Returns:
            Where they begin, int32 `[K, N]`; and which of them are there, bool `[K, N]`. The first ones would begin before the
            first transition, or that of the number `since`, or have been overwritten; and none is there where the steps before
            are no multiple of `stride`.

        Raises:
            ValueError: if `steps` is no multiple of `stride`.
        """
        if steps % self.stride:
            raise ValueError(f"steps={steps} must be a multiple of stride={self.stride}.")
        ahead = (self.sequence_length - 1) // self.stride * self.stride
        begin = self.inserted.read_value() // self.num_envs - steps - ahead
        first = begin + tf.range(steps // self.stride, dtype=tf.int64) * self.stride  # [K]
        numbers = first[:, tf.newaxis] * self.num_envs + tf.range(self.num_envs, dtype=tf.int64)
        oldest = tf.maximum(self.inserted.read_value() - self.size, tf.cast(since, tf.int64))
        is_there = (numbers >= tf.maximum(oldest, 0)) & tf.equal(begin % self.stride, 0)
        return tf.cast(numbers % self.size, tf.int32), is_there

    def _after_add(self, written: Written) -> None:
        """The sequences that are whole now get the largest priority; those whose first step was overwritten lose theirs."""
        before = self.sequence_length - 1
        first = (written.new - before * self.num_envs) % self.size  # [N]
        step = self.inserted.read_value() // self.num_envs - 1 - before
        begins = (step >= 0) & tf.equal(step % self.stride, 0)
        values = tf.where(begins, tf.pow(self.max_priority, self.alpha), self._tree.get(first))
        self._tree.update(tf.concat([first, written.new], axis=0), tf.concat([values, tf.zeros_like(values)], axis=0))

    def _build_storage(self, specs: Mapping[str, tf.TensorSpec], num_envs: int) -> Storage:
        most = self.size // num_envs - self.sequence_length + 1
        storage = SequenceStorage(specs, self.size, num_envs, self.sequence_length, self.n_step)
        if self.stride > most:
            raise ValueError(
                f"stride={self.stride} must be at most {most}, so that of size={self.size} transitions in num_envs={num_envs} "
                "environments there is always a sequence to sample."
            )
        return storage
