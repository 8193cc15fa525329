"""`SequenceStorage`: transitions that are read as sequences of consecutive steps of one environment."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from polyrl.replay.transitions import TransitionStorage


class SequenceStorage(TransitionStorage):
    """Keeps the newest transitions of `num_envs` environments, `capacity` in all; reads `length` consecutive ones of each.

    Args:
        specs: the columns of one transition.
        capacity: number of transitions, a multiple of `num_envs`.
        num_envs: number of environments, `N`.
        length: steps of a sequence, `T`.
    """

    def __init__(self, specs: Mapping[str, tf.TensorSpec], capacity: int, num_envs: int, length: int):
        truncated = {"truncated": tf.TensorSpec([], tf.float32)}
        super().__init__({**truncated, **specs}, capacity, num_envs, n_step=1)
        self._length = length
        # Its shape records in the checkpoint how many environments the rows come from, because sequences depend on it.
        self.environments = tf.Variable(tf.range(num_envs), trainable=False, name="environments")

    def gather(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        """The sequences that begin at `positions` `[S]`: each column `[S, T, ...]`, and `valid` float32 `[S, T]`.

        `valid` is 0 for steps beyond the newest stored one, which hold something else. `truncated` is 1 where an episode was
        truncated, and at the newest step.
        """
        steps = tf.range(self._length, dtype=tf.int64)  # [T]
        places = (positions[:, tf.newaxis] + steps * self._num_envs) % self.capacity  # [S, T]
        flat = self._rows(tf.reshape(places, [-1]))
        shape = [*positions.shape, self._length]
        batch = {name: tf.reshape(column, [*shape, *column.shape[1:]]) for name, column in flat.items()}
        newer = ((self.inserted - 1 - positions) % self.capacity // self._num_envs)[:, tf.newaxis]  # [S, 1]
        batch["truncated"] = tf.maximum(batch["truncated"], tf.cast(steps >= newer, tf.float32))
        return {**batch, "valid": tf.cast(steps <= newer, tf.float32)}

    def start_episodes(self) -> None:
        positions = (self.inserted + tf.range(-self._num_envs, 0, dtype=tf.int64)) % self.capacity  # [N]
        newest = self._packing.unpack(tf.gather(self.packed, positions))
        newest["truncated"] = tf.maximum(newest["truncated"], 1.0 - newest["done"])
        self.packed.scatter_nd_update(positions[:, tf.newaxis], self._packing.pack(newest))
