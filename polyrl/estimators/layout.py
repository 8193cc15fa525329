"""`Layout`: many small tensors in a few vectors. Each tensor that a compiled call takes or keeps costs microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

LIMIT = 16_384
"""Elements up to which a tensor is packed: more cost more to copy than a tensor of its own."""

_CARRIER = {4: tf.int32, 8: tf.int64}


class Layout:
    """Where each of some tensors lies: small ones of 4 and of 8 bytes in one vector each, the others by themselves.

    Args:
        specs: shapes and dtypes of the tensors; anything that has both.
    """

    def __init__(self, specs: Sequence[Any]):
        self._specs = [tf.TensorSpec(spec.shape, tf.as_dtype(spec.dtype)) for spec in specs]
        self._groups: list[list[int]] = []
        for size in _CARRIER:
            group = [index for index, spec in enumerate(self._specs) if spec.dtype.size == size and _small(spec)]
            if group:
                self._groups.append(group)
        self._packed = len(self._groups)
        taken = {index for group in self._groups for index in group}
        self._groups += [[index] for index in range(len(self._specs)) if index not in taken]

    @property
    def specs(self) -> list[tf.TensorSpec]:
        """Of the packed tensors: the vectors first, then those by themselves."""
        vectors = [
            tf.TensorSpec([sum(self._specs[i].shape.num_elements() for i in group)], _carrier(self._specs[group[0]]))
            for group in self._groups[: self._packed]
        ]
        return vectors + [self._specs[index] for index in self.alone]

    @property
    def alone(self) -> list[int]:
        """Which tensors stay by themselves."""
        return [group[0] for group in self._groups[self._packed :]]

    def pack(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The tensors, packed."""
        vectors = [
            tf.concat([tf.bitcast(tf.reshape(tensors[i], [-1]), _carrier(self._specs[i])) for i in group], axis=0)
            for group in self._groups[: self._packed]
        ]
        return vectors + [tensors[index] for index in self.alone]

    def pack_arrays(self, arrays: Sequence[np.ndarray]) -> list[tf.Tensor]:
        """NumPy arrays of the right dtypes, packed."""
        vectors = [
            np.concatenate([arrays[i].reshape(-1).view(_carrier(self._specs[i]).as_numpy_dtype) for i in group])
            for group in self._groups[: self._packed]
        ]
        return [tf.constant(array) for array in (*vectors, *(arrays[index] for index in self.alone))]

    def unpack(self, packed: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The tensors out of their packed form."""
        tensors: dict[int, tf.Tensor] = {}
        for vector, group in zip(packed, self._groups, strict=True):
            if group[0] in self.alone:
                tensors[group[0]] = vector
                continue
            offset = 0
            for index in group:
                spec = self._specs[index]
                size = spec.shape.num_elements()
                tensors[index] = tf.reshape(tf.bitcast(vector[offset : offset + size], spec.dtype), spec.shape)
                offset += size
        return [tensors[index] for index in range(len(self._specs))]


def _small(spec: tf.TensorSpec) -> bool:
    return spec.shape.num_elements() <= LIMIT


def _carrier(spec: tf.TensorSpec) -> tf.DType:
    return _CARRIER[spec.dtype.size]
