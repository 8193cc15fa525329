"""`UniformReplay`: a ring of transitions in TensorFlow variables, sampled inside the compiled update."""

from __future__ import annotations

from collections.abc import Mapping

from polyrl.validation import check_int

import tensorflow as tf


class UniformReplay(tf.Module):
    """Keeps the newest `size` transitions and samples them uniformly, with replacement (Lin 1992).

    Args:
        size: capacity, in transitions.
        batch_size: rows of a sample.
    """

    def __init__(self, size: int = 50_000, batch_size: int = 64):
        super().__init__(name="replay")
        self.size = check_int("size", size, minimum=1)
        self.batch_size = check_int("batch_size", batch_size, minimum=1)
        if self.batch_size > self.size:
            raise ValueError(f"batch_size={batch_size} must not exceed the memory's size={size}.")
        self.inserted = tf.Variable(0, dtype=tf.int64, trainable=False, name="inserted")
        self.columns: dict[str, tf.Variable] = {}

    def build(self, specs: Mapping[str, tf.TensorSpec]) -> None:
        """Makes room for rows of such specs (without batch dimension); a second call with the same specs does nothing."""
        if self.columns:
            for name in {*specs, *self.columns}:
                spec, column = specs.get(name), self.columns.get(name)
                if (
                    column is None
                    or spec is None
                    or tuple(column.shape[1:]) != tuple(spec.shape)
                    or column.dtype != spec.dtype
                ):
                    raise ValueError(f"The memory was built for other transitions: {name} is now {spec}, was {column}.")
            return
        self.columns = {
            name: tf.Variable(tf.zeros([self.size, *spec.shape], spec.dtype), trainable=False, name=name)
            for name, spec in specs.items()
        }

    def add(self, rows: Mapping[str, tf.Tensor]) -> None:
        """Stores `N` rows `[N, ...]`; the oldest give way."""
        count = next(iter(rows.values())).shape[0]
        skipped = max(count - self.size, 0)  # No position is written twice in one call: its order would not be defined.
        positions = (self.inserted + tf.range(skipped, count, dtype=tf.int64)) % self.size  # [N]
        for name, values in rows.items():
            self.columns[name].scatter_nd_update(positions[:, tf.newaxis], values[skipped:])
        self.inserted.assign_add(count)

    def sample(self, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """`batch_size` rows `[B, ...]`; the same seed `[2]` picks the same positions."""
        rows = tf.random.stateless_uniform([self.batch_size], seed, 0, self.stored(), tf.int64, alg="philox")
        return {name: tf.gather(column, rows) for name, column in self.columns.items()}

    def stored(self) -> tf.Tensor:
        """How many transitions there are to sample from, int64 scalar."""
        return tf.minimum(self.inserted.read_value(), self.size)
