"""`Packing`: tensors side by side in one, so that one operation reads, writes or changes all of them.

A small operation takes about a microsecond whatever its size, and a tensor that goes into or out of a compiled call up to
five. So replay rows (`rows.py`), the inputs and outputs of calls (`layout.py`) and the optimizer's step (`fused_step.py`) are
few packed tensors in place of many small ones; these files have the figures.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

LIMIT = 2_048
"""Elements up to which a tensor is packed: a larger one costs more to copy than a tensor of its own."""

BITS = 24
"""How many bools are packed into one float32, which holds whole numbers of up to 24 bits exactly."""


def packed_size(spec: tf.TensorSpec, dtype: tf.DType = tf.float32) -> int:
    """How many numbers a tensor takes of a packed one of this dtype."""
    size = math.prod(spec.shape)
    return -(-size // _bits(dtype)) if spec.dtype == tf.bool else size


def _bits(dtype: tf.DType) -> int:
    """How many bools are packed into a number of this dtype: in one of a single byte it is read as the bool itself."""
    return 1 if dtype.size == 1 else BITS


class Place(NamedTuple):
    """A tensor's place in the packed one: elements `begin` to `end` of its last axis, read as `dtype` and `shape`."""

    begin: int
    end: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Packing:
    """Tensors `[..., *shape]` in the last axis of one tensor `[..., width]`; `...` are batch axes, the same for all.

    Nothing is rounded: a tensor of another dtype is reinterpreted (`tf.bitcast`), and 24 bools make one number, in uint8 each
    its own.

    Args:
        specs: shapes and dtypes without batch axes; anything that has both. The tensors come in this order.
        dtype: of the packed tensor.

    Raises:
        ValueError: if a tensor is neither of bools nor of a dtype with as many bytes as `dtype`.
    """

    def __init__(self, specs: Sequence[Any], dtype: tf.DType):
        self.dtype = tf.as_dtype(dtype)
        self._specs = [tf.TensorSpec(spec.shape, spec.dtype) for spec in specs]
        for spec in self._specs:
            if spec.dtype != tf.bool and spec.dtype.size != self.dtype.size:
                raise ValueError(
                    f"Only bools and dtypes of {self.dtype.size} bytes can be packed in {self.dtype.name}, got {spec}."
                )
        self._sizes = [packed_size(spec, self.dtype) for spec in self._specs]
        self.width = sum(self._sizes)
        ends = itertools.accumulate(self._sizes)
        self.places = [
            Place(end - size, end, np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape))
            for spec, size, end in zip(self._specs, self._sizes, ends, strict=True)
        ]

    def pack(self, tensors: Sequence[Any]) -> tf.Tensor:
        """The tensors `[..., *shape]`, or what converts to them, as one `[..., width]`."""
        flat = [self._flat(tensor, spec) for tensor, spec in zip(tensors, self._specs, strict=True)]
        return tf.concat(flat, axis=-1) if flat else tf.zeros([0], self.dtype)

    def unpack(self, packed: tf.Tensor) -> list[tf.Tensor]:
        """The tensors `[..., *shape]` of a packed one `[..., width]`."""
        if not self.places:
            return []
        parts = tf.split(packed, self._sizes, axis=-1)
        batch = packed.shape[:-1]
        return [_unflat(part, place, batch) for part, place in zip(parts, self.places, strict=True)]

    def unpack_arrays(self, packed: np.ndarray) -> list[np.ndarray]:
        """`unpack` of a NumPy array `[..., width]`, in NumPy: TensorFlow would take a millisecond for its thirty calls."""
        return [_array(packed[..., place.begin : place.end], place) for place in self.places]

    def write(self, packed: tf.Tensor, index: int, tensor: tf.Tensor) -> tf.Tensor:
        """`packed` `[width]` with another value of tensor number `index`.

        XLA writes it in place, where a new concatenation would compute and copy all the others again.
        """
        begin, end, *_ = self.places[index]
        if begin == end:  # XLA cannot write nothing.
            return packed
        flat = self._flat(tensor, self._specs[index])
        return tf.raw_ops.TensorStridedSliceUpdate(input=packed, begin=[begin], end=[end], strides=[1], value=flat)

    def views(self, packed: np.ndarray) -> list[np.ndarray]:
        """The tensors of a NumPy vector `[width]`, in the memory of this vector; bools only of uint8."""
        return [packed[begin:end].view(dtype).reshape(shape) for begin, end, dtype, shape in self.places]

    def _flat(self, tensor: Any, spec: tf.TensorSpec) -> tf.Tensor:
        """A tensor `[..., *shape]` as its part `[..., packed_size]` of the packed one."""
        tensor = tf.convert_to_tensor(tensor, spec.dtype)
        batch = tensor.shape[: tensor.shape.rank - spec.shape.rank]
        if spec.dtype == tf.bool:
            return _numbers(tf.reshape(tensor, [*batch, math.prod(spec.shape)]), self.dtype)
        if spec.dtype != self.dtype:
            tensor = tf.bitcast(tensor, self.dtype)
        return tf.reshape(tensor, [*batch, math.prod(spec.shape)])


def _unflat(part: tf.Tensor, place: Place, batch: tf.TensorShape) -> tf.Tensor:
    """The reverse of `Packing._flat`."""
    if place.dtype == np.bool_:
        part = _bools(part, _bits(part.dtype))[..., : math.prod(place.shape)]
    elif place.dtype != np.dtype(part.dtype.as_numpy_dtype):
        part = tf.bitcast(part, place.dtype)
    return tf.reshape(part, [*batch, *place.shape])


def _array(part: np.ndarray, place: Place) -> np.ndarray:
    """`_unflat` of a NumPy array."""
    batch = part.shape[:-1]
    if place.dtype == np.bool_:
        size = math.prod(place.shape)
        # All 24 of each of many bools take most of the time.
        used = np.arange(min(size, _bits(tf.as_dtype(part.dtype))), dtype=np.int32)
        bits = np.asarray(part).astype(np.int32)[..., np.newaxis] >> used & 1
        return bits.reshape(*batch, -1)[..., :size].reshape([*batch, *place.shape]).astype(bool)
    return np.ascontiguousarray(part).view(place.dtype).reshape([*batch, *place.shape])


def _numbers(bools: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Bools `[..., S]` as numbers `[..., W]`, `_bits` in each; the last one is filled up with False."""
    *batch, size = bools.shape
    count = _bits(dtype)
    if count == 1:
        return tf.cast(bools, dtype)
    padded = tf.pad(bools, [[0, 0] for _ in batch] + [[0, -size % count]])
    bits = tf.reshape(padded, [*batch, padded.shape[-1] // count, count])
    return tf.reduce_sum(tf.where(bits, tf.constant([2**bit for bit in range(count)], dtype), tf.zeros([], dtype)), axis=-1)


def _bools(numbers: tf.Tensor, count: int) -> tf.Tensor:
    """Numbers `[..., W]` as bools `[..., W * count]`."""
    if count == 1:
        return tf.cast(numbers, tf.bool)
    bits = tf.bitwise.bitwise_and(tf.cast(numbers, tf.int32)[..., tf.newaxis], tf.constant([2**bit for bit in range(count)]))
    return tf.reshape(bits > 0, [*numbers.shape[:-1], numbers.shape[-1] * count])
