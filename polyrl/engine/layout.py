"""`Layout`: many small tensors in a few vectors. Each tensor that a compiled call takes or keeps costs microseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

LIMIT = 2_048
"""Elements up to which a tensor is packed: more cost more to copy than a tensor of its own."""

_CARRIER = {4: tf.int32, 8: tf.int64}


class _Place(NamedTuple):
    """A tensor's: which of the packed tensors, from where to where in it, and as what."""

    position: int
    begin: int
    end: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


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

        self._alone = [group[0] for group in self._groups[self._packed :]]
        places: dict[int, _Place] = {}
        for position, group in enumerate(self._groups):
            begin = 0
            for index in group:
                spec = self._specs[index]
                end = begin + spec.shape.num_elements()
                places[index] = _Place(position, begin, end, np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape))
                begin = end
        self._places = [places[index] for index in range(len(self._specs))]

        self._buffers = [_aligned(spec) for spec in self.specs[: self._packed]]
        self._views = [(self._view(index), index) for group in self._groups[: self._packed] for index in group]

    def _view(self, index: int) -> np.ndarray:
        """Where in the buffers a tensor's numbers go."""
        position, begin, end, dtype, shape = self._places[index]
        return self._buffers[position][begin:end].view(dtype).reshape(shape)

    @property
    def specs(self) -> list[tf.TensorSpec]:
        """Of the packed tensors: the vectors first, then those by themselves."""
        vectors = [
            tf.TensorSpec([sum(self._specs[i].shape.num_elements() for i in group)], _carrier(self._specs[group[0]]))
            for group in self._groups[: self._packed]
        ]
        return vectors + [self._specs[index] for index in self._alone]

    @property
    def vectors(self) -> int:
        """How many of the packed tensors are vectors."""
        return self._packed

    @property
    def alone(self) -> list[int]:
        """Which tensors stay by themselves."""
        return list(self._alone)

    def update(self, packed: Sequence[tf.Tensor], changes: Mapping[int, tf.Tensor]) -> dict[int, tf.Tensor]:
        """Which of the packed tensors change when some of the tensors do, and what they are then, both by their position."""
        updated: dict[int, tf.Tensor] = {}
        # The smallest first: XLA reads and writes one vector in it, element by element, and two in those that follow.
        for index in sorted(changes, key=lambda index: self._specs[index].shape.num_elements()):
            value, (position, begin, end, *_) = changes[index], self._places[index]
            if position >= self._packed:
                updated[position] = value
                continue
            vector = updated.get(position, packed[position])
            flat = tf.reshape(tf.bitcast(value, vector.dtype), [-1])
            if flat.shape[0] == 0:  # XLA cannot write nothing.
                continue
            # In place, where a concatenation of all of them would compute and copy each again.
            updated[position] = tf.raw_ops.TensorStridedSliceUpdate(
                input=vector, begin=[begin], end=[end], strides=[1], value=flat
            )
        return updated

    def pack(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The tensors in their packed form."""
        groups = [
            tf.concat([tf.reshape(tf.bitcast(tensors[index], _carrier(self._specs[index])), [-1]) for index in group], axis=0)
            for group in self._groups[: self._packed]
        ]
        return groups + [tensors[index] for index in self._alone]

    def pack_arrays(self, arrays: Sequence[Any], copy: bool = True) -> list[tf.Tensor]:
        """NumPy arrays (or numbers) of the right shapes, packed.

        Without `copy` the result holds until the next call only, and costs a tenth.
        """
        for view, index in self._views:
            view[...] = arrays[index]
        if copy:  # A constant may share the memory that it is made of.
            vectors = [tf.constant(buffer.copy()) for buffer in self._buffers]
        else:
            vectors = [tf.experimental.dlpack.from_dlpack(buffer.__dlpack__()) for buffer in self._buffers]
        return vectors + [tf.constant(arrays[index], self._specs[index].dtype) for index in self._alone]

    def unpack(self, packed: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The tensors out of their packed form."""
        tensors = []
        for position, begin, end, dtype, shape in self._places:
            tensor = packed[position]
            if position < self._packed:
                tensor = tf.bitcast(tensor[begin:end], dtype)
            tensors.append(tf.reshape(tensor, shape))
        return tensors

    def unpack_arrays(self, packed: Sequence[tf.Tensor]) -> list[np.ndarray]:
        """The same as NumPy arrays."""
        arrays = [np.asarray(tensor.numpy()) for tensor in packed]
        return [
            arrays[position][begin:end].view(dtype).reshape(shape) if position < self._packed else arrays[position]
            for position, begin, end, dtype, shape in self._places
        ]


def _small(spec: tf.TensorSpec) -> bool:
    return spec.shape.num_elements() <= LIMIT


def _carrier(spec: tf.TensorSpec) -> tf.DType:
    return _CARRIER[spec.dtype.size]


def _aligned(spec: tf.TensorSpec) -> np.ndarray:
    """Zeros that begin where TensorFlow wants a tensor's memory to begin, at a multiple of 64 bytes."""
    size = spec.shape.num_elements() * spec.dtype.size
    memory = np.zeros(size + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + size].view(spec.dtype.as_numpy_dtype)
