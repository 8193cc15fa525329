"""`Bundle`: many small variables as one, for what is done to each number alike."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import tensorflow as tf
import tf_keras

from polyrl.engine import functional

LIMIT = 16_384
"""Elements up to which a variable joins: a larger one costs more to copy than an operation of its own."""


class Bundle(tf.Module):
    """A variable in which an optimizer finds the small ones of some variables, one after the other.

    The optimizers of tf-keras treat each number alike, so that one step on a long vector is the same as one on each variable,
    and costs a fraction: a small operation takes about a microsecond, whatever its size.

    Args:
        variables: floating-point variables.
        alone: positions of those that do not join.
    """

    def __init__(self, variables: Sequence[tf.Variable], alone: Collection[int] = ()):
        super().__init__(name="bundle")
        self._shapes = [variable.shape for variable in variables]
        dtype = variables[0].dtype
        self._small = [
            index
            for index, variable in enumerate(variables)
            if index not in alone and variable.dtype == dtype and variable.shape.num_elements() <= LIMIT
        ]
        self._large = [index for index in range(len(variables)) if index not in self._small]
        size = sum(self._shapes[index].num_elements() for index in self._small)
        # Holds the values only while the optimizer works on them.
        self._vector = tf.Variable(tf.zeros([size], dtype), trainable=False, name="vector")

    def positions(self, indices: Collection[int]) -> set[int]:
        """Where large variables, given by their position among all, are in `pack`'s result."""
        return {1 + self._large.index(index) for index in indices}

    def optimized(self, variables: Sequence[tf.Variable]) -> list[tf.Variable]:
        """What an optimizer is given in place of `variables`: the vector, then the large ones."""
        return [self._vector, *(variables[index] for index in self._large)]

    def pack(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """One tensor for each variable, or for each of `optimized`."""
        flat = [tf.reshape(tensors[index], [-1]) for index in self._small]
        vector = tf.concat(flat, axis=0) if flat else tf.zeros([0], self._vector.dtype)
        return [vector, *(tensors[index] for index in self._large)]

    def unpack(self, packed: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The reverse of `pack`."""
        sizes = [self._shapes[index].num_elements() for index in self._small]
        parts = tf.split(packed[0], sizes) if sizes else []
        tensors = {index: tf.reshape(part, self._shapes[index]) for index, part in zip(self._small, parts, strict=True)}
        tensors.update(zip(self._large, packed[1:], strict=True))
        return [tensors[index] for index in range(len(self._shapes))]

    def apply_gradients(
        self,
        optimizer: tf_keras.optimizers.Optimizer,
        gradients: Sequence[tf.Tensor],
        variables: Sequence[tf.Variable],
        xla: bool = False,
    ) -> None:
        """One step of an optimizer that was built for `optimized(variables)`; `gradients` are packed.

        With `xla` the step on each large variable is compiled if nothing around it is: in one pass over its numbers, where
        TensorFlow's own operations take ten.
        """
        optimizer.jit_compile = xla and bool(self._large) and not functional.active()
        try:
            self._apply_gradients(optimizer, gradients, variables)
        finally:
            optimizer.jit_compile = False

    def _apply_gradients(
        self, optimizer: tf_keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
    ) -> None:
        before = self._vector.read_value()
        self._vector.assign(self.pack(variables)[0])
        optimizer.apply_gradients(zip(gradients, self.optimized(variables), strict=True))
        values = self.unpack([self._vector.read_value(), *(variables[index] for index in self._large)])
        for index in self._small:
            constraint = variables[index].constraint
            variables[index].assign(values[index] if constraint is None else constraint(values[index]))
        self._vector.assign(before)
