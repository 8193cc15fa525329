"""`SumTree`: values that can be updated, and sampled in proportion to their size."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

BRANCHING = 16
"""Children of a node. Wide nodes mean few levels, which suits XLA on a CPU; still wider nodes cost more than they save."""

RESOLUTION = 2**48
"""Number of different positions of a draw within its stratum; together with the stratum's number they fit into a float64."""

LARGEST = 1e30
"""Values are clipped to this maximum, so that no sum of them overflows."""


class SumTree(tf.Module):
    """A tree whose leaves are values >= 0, initially zero, and whose nodes are the sums of their children.

    A sum is always computed again from all its children, so rounding errors do not accumulate over time (Schaul et al. 2016,
    appendix B.2.1, with `BRANCHING` instead of 2 children).

    Args:
        capacity: number of leaves.
    """

    def __init__(self, capacity: int):
        super().__init__(name="sum_tree")
        rows = [-(-capacity // BRANCHING)]
        while rows[0] > 1:
            rows.insert(0, -(-rows[0] // BRANCHING))
        # From the root to the leaves; row `i` of a level holds the children of node `i` of the level above.
        self.levels = [
            tf.Variable(tf.zeros([count, BRANCHING]), trainable=False, name=f"level_{depth}")
            for depth, count in enumerate(rows)
        ]

    def get(self, indices: tf.Tensor) -> tf.Tensor:
        """The values of leaves `[M]`, float32 `[M]`."""
        indices = tf.cast(indices, tf.int32)
        return tf.gather(tf.gather(self.levels[-1], indices // BRANCHING), indices % BRANCHING, batch_dims=1)

    def total(self) -> tf.Tensor:
        """The sum of all values, a float32 scalar."""
        return tf.reduce_sum(self.levels[0])

    def update(self, indices: tf.Tensor, values: tf.Tensor) -> None:
        """Sets leaves `[M]` to `values` float32 `[M]`; a leaf that occurs several times gets the largest of its values.

        Negative values and NaN count as zero.
        """
        equal = indices[:, tf.newaxis] == indices  # [M, M]
        values = tf.where(values > 0.0, values, 0.0)
        # Over rows, which is faster in XLA.
        self.set(indices, tf.reduce_max(tf.where(equal, values[:, tf.newaxis], 0.0), axis=0))

    def set(self, indices: tf.Tensor, values: tf.Tensor) -> None:
        """The same for leaves of which each occurs once, or with the same value each time: it need not compare them."""
        indices = tf.cast(indices, tf.int32)
        if indices.shape[0] == 1:
            # XLA turns the write of a single row into an operation that it fuses with later reads, copying the whole level.
            indices, values = tf.repeat(indices, 2), tf.repeat(values, 2)
        values = tf.where(values > 0.0, tf.minimum(values, LARGEST), 0.0)
        for level in reversed(self.levels):
            nodes = indices // BRANCHING
            level.scatter_nd_update(tf.stack([nodes, indices % BRANCHING], axis=1), values)
            # A node that occurs several times gets the same sum each time.
            indices, values = nodes, tf.reduce_sum(tf.gather(level, nodes), axis=1)

    def sample(self, seed: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws leaves in proportion to their values: one from each of `count` equal strata of the total sum.

        A leaf of value zero is never drawn, whatever the rounding errors, unless all leaves are zero.

        Args:
            seed: int `[2]`.
            count: number of draws.

        Returns:
            Leaves int32 `[count]` in the order of the strata, and their values float32 `[count]`.
        """
        columns = tf.range(BRANCHING)
        cumulate = tf.constant(np.triu(np.ones([BRANCHING, BRANCHING])), tf.float32)
        # Random integers, because they are the same with and without XLA, which floats are not. The position in the total sum
        # needs more digits than a float32 has; the position within one node does not.
        draws = tf.random.stateless_uniform([count], seed, 0, RESOLUTION, tf.int64, alg="philox")
        strata = tf.range(count, dtype=tf.float64) + tf.cast(draws, tf.float64) / RESOLUTION
        total = tf.cast(tf.linalg.matmul(self.levels[0], cumulate)[0, -1], tf.float64)
        rest = strata / count * total  # [count], the position within the present node
        index = tf.zeros([count], tf.int32)
        for level in self.levels:
            children = tf.gather(level, index)  # [count, BRANCHING]
            sums = tf.linalg.matmul(children, cumulate)
            # The first child that ends beyond the position, or, if rounding moved that beyond all children, the last one that
            # has a value: the largest of numbers that fall from the first child beyond on, and rise among those before.
            beyond = sums > tf.cast(rest, tf.float32)[:, tf.newaxis]
            order = tf.where(children > 0.0, tf.where(beyond, BRANCHING - columns, columns - BRANCHING), -2 * BRANCHING)
            best = tf.reduce_max(order, axis=1)
            child = tf.where(best > 0, BRANCHING - best, tf.maximum(best + BRANCHING, 0))
            value = tf.gather(children, child, batch_dims=1)
            rest = tf.maximum(rest - tf.cast(tf.gather(sums, child, batch_dims=1) - value, tf.float64), 0.0)
            index = index * BRANCHING + child
        return index, value
