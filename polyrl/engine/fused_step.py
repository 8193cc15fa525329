"""`FusedStep`: an optimizer's step on all small variables at once.

An update of a network with six variables takes 98 microseconds without XLA, and 116 with a step on each variable; with XLA on
the variables 67 and 76. On carried state (`carried.py`) there is no difference (`scripts/benchmarks/engine.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import tensorflow as tf
import tf_keras

from polyrl.engine import functional
from polyrl.engine.packing import LIMIT, Packing

COMPILED = 16_384
"""Elements above which XLA compiles the step on a variable by itself: it takes a third of a second before the first update."""


class FusedStep(tf.Module):
    """One vector that holds the small variables one after the other while an optimizer works on them.

    Most optimizers of tf-keras treat each number alike, so that one step on a long vector is the same as one on each variable.
    Each of their operations then runs once. Any other optimizer is given the variables themselves.

    Args:
        variables: floating-point variables.
        alone: indices of those that do not join.
        element_wise: whether the optimizer treats each number alike; otherwise no variable joins.
    """

    def __init__(self, variables: Sequence[tf.Variable], alone: Collection[int] = (), element_wise: bool = True):
        super().__init__(name="fused_step")
        self._joins = element_wise
        dtype = variables[0].dtype
        self._small = [
            index
            for index, variable in enumerate(variables)
            if element_wise and index not in alone and variable.dtype == dtype and variable.shape.num_elements() <= LIMIT
        ]
        self._large = [index for index in range(len(variables)) if index not in self._small]
        self._compiled = element_wise and any(variables[index].shape.num_elements() > COMPILED for index in self._large)
        self._packing = Packing([variables[index] for index in self._small], dtype)
        self._vector = tf.Variable(tf.zeros([self._packing.width], dtype), trainable=False, name="vector")

    def optimized(self, variables: Sequence[tf.Variable]) -> list[tf.Variable]:
        """What an optimizer is given in place of `variables`: the vector, then the large ones; or all as they are."""
        if not self._joins:
            return list(variables)
        return [self._vector, *(variables[index] for index in self._large)]

    def positions(self, indices: Collection[int]) -> set[int]:
        """Where large variables, given by their indices, are in `optimized`."""
        return {1 + self._large.index(index) for index in indices} if self._joins else set(indices)

    def pack(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """One tensor for each variable, packed: one for each of `optimized`."""
        if not self._joins:
            return list(tensors)
        return [self._packing.pack([tensors[index] for index in self._small]), *(tensors[index] for index in self._large)]

    def unpack(self, packed: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The reverse of `pack`."""
        if not self._joins:
            return list(packed)
        tensors = dict(zip(self._small, self._packing.unpack(packed[0]), strict=True))
        tensors.update(zip(self._large, packed[1:], strict=True))
        return [tensors[index] for index in sorted(tensors)]

    def apply_gradients(
        self,
        optimizer: tf_keras.optimizers.Optimizer,
        gradients: Sequence[tf.Tensor],
        variables: Sequence[tf.Variable],
        xla: bool = False,
    ) -> None:
        """One step.

        Args:
            optimizer: built for `optimized(variables)`.
            gradients: packed.
            variables: those that this object was made for.
            xla: whether XLA compiles the step where a variable has more than `COMPILED` numbers and nothing around it is
                compiled: one pass over these, where TensorFlow's own operations take ten.
        """
        before = optimizer.jit_compile
        optimizer.jit_compile = xla and self._compiled and not functional.active()
        try:
            self._apply_gradients(optimizer, gradients, variables)
        finally:
            optimizer.jit_compile = before

    def _apply_gradients(
        self, optimizer: tf_keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
    ) -> None:
        if not self._joins:
            _apply(optimizer, gradients, variables)
            return
        before = self._vector.read_value()
        self._vector.assign(self._packing.pack([variables[index] for index in self._small]))
        _apply(optimizer, gradients, self.optimized(variables))
        after = self._packing.unpack(self._vector.read_value())
        for index, value in zip(self._small, after, strict=True):
            constraint = variables[index].constraint
            variables[index].assign(value if constraint is None else constraint(value))
        self._vector.assign(before)  # So that it never changes: compiled calls need not carry it.


def _apply(optimizer: tf_keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]) -> None:
    """`optimizer.apply_gradients`, without a sum over replicas if there is only one replica.

    That sum has a gradient of its own, and TensorFlow never releases the graph in which such a gradient was traced
    (https://github.com/tensorflow/tensorflow/issues/97697).
    """
    own = type(optimizer).apply_gradients is not tf_keras.optimizers.Optimizer.apply_gradients
    alone = {} if own or tf.distribute.has_strategy() else {"skip_gradients_aggregation": True}
    optimizer.apply_gradients(zip(gradients, variables, strict=True), **alone)
