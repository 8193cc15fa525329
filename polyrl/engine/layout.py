"""`Layout`: the many small tensors that a compiled call takes, keeps or returns, in three vectors.

A call with nine inputs from NumPy and three outputs to it takes 22 microseconds, and 75 with each by itself
(`scripts/benchmarks/engine.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.engine.packing import LIMIT, Packing, Place

_DTYPES = (tf.int32, tf.int64, tf.uint8)
"""The dtypes of the vectors: one for tensors with elements of 4 bytes, one for those of 8, one for those of 1."""

_BYTES = (tf.bool, tf.uint8, tf.int8)
"""The dtypes of 1 byte that are packed: TensorFlow cannot reinterpret others, as those of float8."""


class Layout:
    """Puts small tensors of 4, of 8 and of 1 byte for each element in one vector each, and leaves the others by themselves.

    The packed form is a list of tensors: first the vectors, then the tensors left by themselves.

    Args:
        specs: shapes and dtypes of the tensors; anything that has both.
    """

    def __init__(self, specs: Sequence[Any]):
        self._specs = [tf.TensorSpec(spec.shape, spec.dtype) for spec in specs]
        self._packings: list[Packing] = []
        self._members: list[list[int]] = []
        for dtype in _DTYPES:
            members = [i for i, spec in enumerate(self._specs) if spec.dtype.size == dtype.size and _is_packed(spec)]
            if members:
                self._members.append(members)
                self._packings.append(Packing([self._specs[i] for i in members], dtype))
        packed = [index for members in self._members for index in members]
        self._alone = [index for index in range(len(self._specs)) if index not in packed]
        # Where each tensor is when those of the vectors come first, one vector after the other.
        self._order = np.argsort([*packed, *self._alone]).tolist()
        # For each tensor: in which of the packed form, and where in it; None for those left by themselves.
        located = [(position, place) for position, packing in enumerate(self._packings) for place in packing.places] + [
            (len(self._packings) + position, None) for position in range(len(self._alone))
        ]
        self._places = [located[place] for place in self._order]
        self._buffers = [_aligned_zeros(packing) for packing in self._packings]
        # Where in the buffers each packed tensor goes.
        self._views = [
            (view, index)
            for packing, buffer, members in zip(self._packings, self._buffers, self._members, strict=True)
            for view, index in zip(packing.views(buffer), members, strict=True)
        ]

    @property
    def specs(self) -> list[tf.TensorSpec]:
        """The specs of the packed form."""
        vectors = [tf.TensorSpec([packing.width], packing.dtype) for packing in self._packings]
        return vectors + [self._specs[index] for index in self._alone]

    @property
    def vectors(self) -> int:
        """How many tensors of the packed form are vectors."""
        return len(self._packings)

    @property
    def alone(self) -> list[int]:
        """Indices of the tensors left by themselves."""
        return list(self._alone)

    def pack(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The packed form of tensors."""
        vectors = [
            packing.pack([tensors[index] for index in members])
            for packing, members in zip(self._packings, self._members, strict=True)
        ]
        return vectors + [tensors[index] for index in self._alone]

    def unpack(self, packed: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The tensors of a packed form."""
        tensors = [
            tensor
            for packing, vector in zip(self._packings, packed[: self.vectors], strict=True)
            for tensor in packing.unpack(vector)
        ]
        tensors += packed[self.vectors :]
        return [tensors[place] for place in self._order]

    def update(self, packed: Sequence[tf.Tensor], changes: Mapping[int, tf.Tensor]) -> dict[int, tf.Tensor]:
        """Which packed tensors change when these tensors change: the new ones, by their position in the packed form.

        Args:
            packed: the present packed form.
            changes: new values of tensors, by their index among `specs`.
        """
        updated = {self.vectors + position: changes[index] for position, index in enumerate(self._alone) if index in changes}
        for position, (packing, members) in enumerate(zip(self._packings, self._members, strict=True)):
            places = [place for place, index in enumerate(members) if index in changes]
            # The smallest first: XLA reads and writes one vector in it, element by element, and two in those that follow.
            for place in sorted(places, key=lambda place: self._specs[members[place]].shape.num_elements()):
                before = updated.get(position, packed[position])
                after = packing.write(before, place, changes[members[place]])
                if after is not before:
                    updated[position] = after
        return updated

    def pack_arrays(self, arrays: Sequence[Any], copy: bool = True) -> list[tf.Tensor]:
        """The packed form of NumPy arrays (or numbers) of the right shapes.

        Without `copy` the result is valid until the next call of this method only, and costs 8 microseconds less.
        """
        for view, index in self._views:
            view[...] = arrays[index]
        if copy:  # A constant may share the memory that it is made of.
            vectors = [tf.constant(buffer.copy()) for buffer in self._buffers]
        else:
            vectors = [tf.experimental.dlpack.from_dlpack(buffer.__dlpack__()) for buffer in self._buffers]
        return vectors + [tf.constant(arrays[index], self._specs[index].dtype) for index in self._alone]

    def unpack_arrays(self, packed: Sequence[tf.Tensor], count: int | None = None) -> list[np.ndarray]:
        """The tensors of a packed form, or the first `count` of them, as NumPy arrays."""
        arrays = [np.asarray(tensor.numpy()) for tensor in packed]
        return [
            arrays[position] if place is None else _part(arrays[position].view(place.dtype), place)
            for position, place in self._places[:count]
        ]


def _part(vector: np.ndarray, place: Place) -> np.ndarray:
    """The tensor at a place of a vector of its dtype."""
    part = vector[place.begin : place.end]
    return part if len(place.shape) == 1 else part.reshape(place.shape)


def _is_packed(spec: tf.TensorSpec) -> bool:
    return spec.shape.num_elements() <= LIMIT and (spec.dtype.size > 1 or spec.dtype in _BYTES)


def _aligned_zeros(packing: Packing) -> np.ndarray:
    """Zeros `[width]` that begin where TensorFlow wants a tensor's memory to begin, at a multiple of 64 bytes."""
    size = packing.width * packing.dtype.size
    memory = np.zeros(size + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + size].view(packing.dtype.as_numpy_dtype)
