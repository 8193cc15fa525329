"""`RowPacking`: the small columns of a replay memory in one float32 matrix, so that a row is one write and one read.

A call that stores a row of six columns and reads 64 takes 20 microseconds with XLA, and 25 column by column. In a loop, and
without XLA, there is no difference (`scripts/benchmarks/engine.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from polyrl.engine.packing import Packing, packed_size

LARGEST = 1_024
"""Numbers in a row above which a column is kept by itself."""


def fits(spec: tf.TensorSpec) -> bool:
    """Whether a column with rows of this spec can be packed: 4 bytes or one bit for each element, and not too many of them."""
    return spec.dtype in (tf.float32, tf.int32, tf.bool) and packed_size(spec) <= LARGEST


class RowPacking:
    """Columns of a replay memory side by side in a matrix.

    Args:
        specs: of one row of each column, without batch axis; each of them `fits`.
    """

    def __init__(self, specs: Mapping[str, tf.TensorSpec]):
        self._names = list(specs)
        self._packing = Packing(list(specs.values()), tf.float32)
        self.width = self._packing.width

    def pack(self, rows: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Rows `[N, ...]` of each column as float32 `[N, width]`; `rows` may have further columns."""
        return self._packing.pack([rows[name] for name in self._names])

    def unpack(self, packed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The columns `[..., *row]` of float32 `[..., width]`."""
        return dict(zip(self._names, self._packing.unpack(packed), strict=True))

    def unpack_arrays(self, packed: np.ndarray) -> dict[str, np.ndarray]:
        """The same of a NumPy array, as NumPy arrays."""
        return dict(zip(self._names, self._packing.unpack_arrays(packed), strict=True))
