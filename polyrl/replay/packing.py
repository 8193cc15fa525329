"""`Packing`: columns of 4 bytes side by side in one float32 matrix, so that a row is one write and one read."""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf

LARGEST = 1_024
"""Elements of a row above which a column is kept for itself."""


def fits(spec: tf.TensorSpec) -> bool:
    """Whether a column of such rows can be packed: 4 bytes per element, and not too many of them."""
    return spec.dtype in (tf.float32, tf.int32) and math.prod(spec.shape) <= LARGEST


class Packing:
    """Where each column lies in the matrix. Integers keep their bits (`tf.bitcast`), nothing is rounded.

    Args:
        specs: of one row of each column, without batch dimension; all of them must fit.
    """

    def __init__(self, specs: Mapping[str, tf.TensorSpec]):
        self._specs = dict(specs)
        self._ranges: dict[str, tuple[int, int]] = {}
        self.width = 0
        for name, spec in self._specs.items():
            self._ranges[name] = (self.width, self.width + math.prod(spec.shape))
            self.width = self._ranges[name][1]

    def pack(self, rows: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Rows of the columns, `[N, ...]` each, as float32 `[N, width]`."""
        flat = []
        for name, spec in self._specs.items():
            values = tf.convert_to_tensor(rows[name], spec.dtype)
            values = values if spec.dtype == tf.float32 else tf.bitcast(values, tf.float32)
            flat.append(tf.reshape(values, [values.shape[0], math.prod(spec.shape)]))
        return tf.concat(flat, axis=1)

    def unpack(self, packed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The columns, `[..., *row]` each, of float32 `[..., width]`."""
        columns = {}
        for name, spec in self._specs.items():
            begin, end = self._ranges[name]
            values = tf.reshape(packed[..., begin:end], [*packed.shape[:-1], *spec.shape])
            columns[name] = values if spec.dtype == tf.float32 else tf.bitcast(values, spec.dtype)
        return columns
