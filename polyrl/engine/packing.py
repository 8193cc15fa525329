"""`Packing`: columns of 4 bytes, and of bits, side by side in one float32 matrix, so that a row is one write and one read."""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf

LARGEST = 1_024
"""Numbers of a row above which a column is kept for itself."""

BITS = 24
"""Bools that one number holds: so many bits of a float32 are a whole number, exactly."""


def fits(spec: tf.TensorSpec) -> bool:
    """Whether a column of such rows can be packed: 4 bytes per element or one bit, and not too many of them."""
    return spec.dtype in (tf.float32, tf.int32, tf.bool) and _width(spec) <= LARGEST


class Packing:
    """Where each column lies in the matrix. Nothing is rounded: integers keep their bits (`tf.bitcast`), 24 bools make one.

    Args:
        specs: of one row of each column, without batch dimension; all of them must fit.
    """

    def __init__(self, specs: Mapping[str, tf.TensorSpec]):
        self._specs = dict(specs)
        self._ranges: dict[str, tuple[int, int]] = {}
        self.width = 0
        for name, spec in self._specs.items():
            self._ranges[name] = (self.width, self.width + _width(spec))
            self.width = self._ranges[name][1]

    def pack(self, rows: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Rows of the columns, `[N, ...]` each, as float32 `[N, width]`."""
        flat = []
        for name, spec in self._specs.items():
            values = tf.convert_to_tensor(rows[name], spec.dtype)
            flat.append(tf.reshape(_to_floats(values), [values.shape[0], _width(spec)]))
        return tf.concat(flat, axis=1)

    def unpack(self, packed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The columns, `[..., *row]` each, of float32 `[..., width]`."""
        columns = {}
        for name, spec in self._specs.items():
            begin, end = self._ranges[name]
            values = packed[..., begin:end]
            if spec.dtype == tf.bool:
                values = _to_bools(values)[..., : math.prod(spec.shape)]
            values = tf.reshape(values, [*packed.shape[:-1], *spec.shape])
            columns[name] = values if spec.dtype in (tf.float32, tf.bool) else tf.bitcast(values, spec.dtype)
        return columns


def _width(spec: tf.TensorSpec) -> int:
    """How many numbers a row of the column takes."""
    size = math.prod(spec.shape)
    return -(-size // BITS) if spec.dtype == tf.bool else size


def _to_floats(values: tf.Tensor) -> tf.Tensor:
    """Values `[N, ...]` of any of the three dtypes as float32; of bools, `BITS` in each number."""
    if values.dtype == tf.float32:
        return values
    if values.dtype != tf.bool:
        return tf.bitcast(values, tf.float32)
    bits = tf.reshape(values, [values.shape[0], math.prod(values.shape[1:])])
    bits = tf.pad(bits, [[0, 0], [0, -bits.shape[1] % BITS]])
    bits = tf.reshape(bits, [bits.shape[0], bits.shape[1] // BITS, BITS])
    return tf.reduce_sum(tf.where(bits, tf.constant([2.0**bit for bit in range(BITS)]), 0.0), axis=-1)


def _to_bools(floats: tf.Tensor) -> tf.Tensor:
    """The reverse, `[..., W]` to `[..., W * BITS]`."""
    bits = tf.bitwise.bitwise_and(tf.cast(floats, tf.int32)[..., tf.newaxis], tf.constant([2**bit for bit in range(BITS)]))
    return tf.reshape(bits > 0, [*floats.shape[:-1], floats.shape[-1] * BITS])
