"""`SequenceStorage`: transitions that are read as sequences of consecutive steps of one environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from polyrl.replay.storage import NEXT, close_window
from polyrl.replay.transitions import WINDOWED, TransitionStorage

NETWORK_STATE = "network_state"
"""The column of what a recurrent network remembered before a step."""


class SequenceStorage(TransitionStorage):
    """Keeps the newest transitions of `num_envs` environments, `capacity` in all; reads `length` consecutive ones of each.

    Args:
        specs: the columns of one transition.
        capacity: number of transitions, a multiple of `num_envs`.
        num_envs: number of environments, `N`.
        length: steps of a sequence, `T`.
        window: length of the windows, `n`.
    """

    APART: ClassVar[tuple[str, ...]] = (NETWORK_STATE,)

    def __init__(self, specs: Mapping[str, tf.TensorSpec], capacity: int, num_envs: int, length: int, window: int = 1):
        if length * num_envs > capacity:
            raise ValueError(
                f"size={capacity} is too small for sequences of sequence_length={length} steps in num_envs={num_envs} "
                f"environments; at least {length * num_envs} is needed."
            )
        truncated = {"truncated": tf.TensorSpec([], tf.float32)}
        super().__init__({**truncated, **specs}, capacity, num_envs, n_step=1)
        self._length, self._steps_of_window = length, window
        # Its shape records in the checkpoint how many environments the rows come from, because sequences depend on it.
        self.environments = tf.Variable(tf.range(num_envs), trainable=False, name="environments")

    def gather(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        """The sequences that begin at `positions` `[S]`: each column `[S, T, ...]`, and `valid` float32 `[S, T]`.

        `valid` is 0 for steps beyond the newest stored one, which repeat it. `truncated` is 1 where an episode was
        truncated, and at the newest step. `network_state` is that of the first steps, `[S, H]`. With windows of several
        steps `reward`, `done` and `truncated` are `[S, T, n]`, and what belongs to a next state is that at the window's end;
        a window ends with its sequence.
        """
        steps = tf.range(self._length, dtype=tf.int64)  # [T]
        newer = ((self.inserted - 1 - positions) % self.capacity // self._num_envs)[:, tf.newaxis]  # [S, 1]
        # Beyond the newest step it is repeated: a layer that normalises, or a mask, shall meet nothing that did not happen.
        places = (positions[:, tf.newaxis] + tf.minimum(steps, newer) * self._num_envs) % self.capacity  # [S, T]
        flat = self._rows(tf.reshape(places, [-1]))
        shape = [*positions.shape, self._length]
        batch = {name: tf.reshape(column, [*shape, *column.shape[1:]]) for name, column in flat.items()}
        batch["truncated"] = tf.maximum(batch["truncated"], tf.cast(steps >= newer, tf.float32))
        if self._steps_of_window > 1:
            batch |= self._windows(batch)
        first = {name: tf.gather(self.large[name], positions) for name in self.APART if name in self.large}
        return {**batch, **first, "valid": tf.cast(steps <= newer, tf.float32)}

    def _windows(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Windows that begin with each step, of single steps `[S, T, ...]`: what differs."""
        first = tf.range(self._length)[:, tf.newaxis]  # [T, 1]
        places = tf.minimum(first + tf.range(self._steps_of_window), self._length - 1)  # [T, n]
        windows = {name: tf.gather(batch[name], places, axis=1) for name in WINDOWED}  # [S, T, n]
        rows = [-1, self._steps_of_window]
        newer = tf.tile(tf.range(self._length - 1, -1, -1, dtype=tf.int64), [tf.shape(batch["done"])[0]])  # [S T]
        window = close_window(tf.reshape(windows["done"], rows), tf.reshape(windows["truncated"], rows), newer)
        windows["truncated"] = tf.reshape(window.truncated, windows["done"].shape)
        last = tf.range(self._length, dtype=tf.int64) + tf.reshape(window.last, batch["done"].shape)  # [S, T]
        following = {name: tf.gather(batch[name], last, axis=1, batch_dims=1) for name in batch if name.startswith(NEXT)}
        return {**windows, **following}

    def start_episodes(self) -> None:
        positions = (self.inserted + tf.range(-self._num_envs, 0, dtype=tf.int64)) % self.capacity  # [N]
        newest = self._packing.unpack(tf.gather(self.packed, positions))
        newest["truncated"] = tf.maximum(newest["truncated"], 1.0 - newest["done"])
        self.packed.scatter_nd_update(positions[:, tf.newaxis], self._packing.pack(newest))
