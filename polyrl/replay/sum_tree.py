"""`SumTree`: values that can be changed, and found by where a number falls into their running sum."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

BRANCHING = 32
"""Children of a node. With XLA on a CPU, wide nodes make few levels; wider ones than this cost more than they save."""

RESOLUTION = 2**48
"""Different places that a draw can take within its stratum; with the strata's number they fit into a float64."""

LARGEST = 1e30
"""Values are cut off here, so that no sum of them overflows."""


class SumTree(tf.Module):
    """A tree whose leaves are values >= 0, all zero at first, and whose nodes are the sums of their children.

    A sum is always computed anew out of all its children, so rounding errors do not add up over time (Schaul et al. 2016,
    appendix B.2.1, with `BRANCHING` in place of 2).

    Args:
        capacity: number of leaves.
    """

    def __init__(self, capacity: int):
        super().__init__(name="sum_tree")
        rows = [-(-capacity // BRANCHING)]
        while rows[0] > 1:
            rows.insert(0, -(-rows[0] // BRANCHING))
        # From the root down to the leaves; row `i` of a level holds the children of node `i` of the level above.
        self.levels = [
            tf.Variable(tf.zeros([count, BRANCHING]), trainable=False, name=f"level_{depth}")
            for depth, count in enumerate(rows)
        ]

    def get(self, indices: tf.Tensor) -> tf.Tensor:
        """The values of leaves `[M]`, float32 `[M]`."""
        indices = tf.cast(indices, tf.int32)
        return tf.gather(tf.gather(self.levels[-1], indices // BRANCHING), indices % BRANCHING, batch_dims=1)

    def update(self, indices: tf.Tensor, values: tf.Tensor) -> None:
        """Sets leaves `[M]` to `values` float32 `[M]`; one that is there several times gets the largest of its values.

        Negative values and NaN count as zero.
        """
        indices = tf.cast(indices, tf.int32)
        if indices.shape[0] == 1:
            # XLA turns the write of a single row into an operation that it merges with later reads, copying the whole level.
            indices, values = tf.repeat(indices, 2), tf.repeat(values, 2)
        values = tf.where(values > 0.0, tf.minimum(values, LARGEST), 0.0)
        equal = indices[:, tf.newaxis] == indices  # [M, M]
        values = tf.reduce_max(tf.where(equal, values[:, tf.newaxis], 0.0), axis=0)  # Over rows: XLA is quicker at it.
        for level in reversed(self.levels):
            nodes = indices // BRANCHING
            level.scatter_nd_update(tf.stack([nodes, indices % BRANCHING], axis=1), values)
            # Nodes of equal number get equal sums.
            indices, values = nodes, tf.reduce_sum(tf.gather(level, nodes), axis=1)

    def sample(self, seed: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws leaves in proportion to their values: one out of each of `count` equal strata of the sum.

        A leaf of value zero is never drawn, whatever rounding does, unless there is no other.

        Args:
            seed: `[2]`.
            count: how many.

        Returns:
            Leaves int32 `[count]` in the order of the strata, and their values float32 `[count]`.
        """
        columns = tf.range(BRANCHING)
        cumulate = tf.constant(np.triu(np.ones([BRANCHING, BRANCHING])), tf.float32)
        # Random integers: they are the same with XLA and without, floats are not. The position in the whole sum takes more
        # digits than a float32 has; within one node those are enough.
        draws = tf.random.stateless_uniform([count], seed, 0, RESOLUTION, tf.int64, alg="philox")
        strata = tf.range(count, dtype=tf.float64) + tf.cast(draws, tf.float64) / RESOLUTION
        total = tf.cast(tf.linalg.matmul(self.levels[0], cumulate)[0, -1], tf.float64)
        rest = strata / count * total  # [count], where it falls into the node that it is in
        index = tf.zeros([count], tf.int32)
        for level in self.levels:
            children = tf.gather(level, index)  # [count, BRANCHING]
            sums = tf.linalg.matmul(children, cumulate)
            beyond = sums > tf.cast(rest, tf.float32)[:, tf.newaxis]
            first = tf.reduce_min(tf.where((children > 0.0) & beyond, columns, BRANCHING), axis=1)
            # If rounding let it fall beyond all children, the last that has a value is meant.
            child = tf.minimum(first, tf.reduce_max(tf.where(children > 0.0, columns, 0), axis=1))
            value = tf.gather(children, child, batch_dims=1)
            rest = tf.maximum(rest - tf.cast(tf.gather(sums, child, batch_dims=1) - value, tf.float64), 0.0)
            index = index * BRANCHING + child
        return index, value
