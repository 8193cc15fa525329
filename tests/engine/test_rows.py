"""`RowPacking`: rows of a replay memory, written to a matrix and read from it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from engine_testing import COMPILATIONS, same

from polyrl.engine.packing import BITS
from polyrl.engine.rows import LARGEST, RowPacking, fits

SPECS = {
    "number": tf.TensorSpec([], tf.int32),
    "matrix": tf.TensorSpec([2, 3], tf.float32),
    "mask": tf.TensorSpec([30], tf.bool),
    "vector": tf.TensorSpec([2], tf.int32),
}
# As floats the integers are denormal, infinite, and NaNs of several kinds.
INTEGERS = np.array([0, 1, -1, 7, 2**31 - 1, -(2**31), 0x7F800000, 0x7FA00001, 0x7FC00000], np.int32)
FLOATS = np.array([0.0, -0.0, 1e-45, 1e-39, np.inf, -np.inf, 3.14, 3e38, np.nan], np.float32)


@pytest.mark.parametrize("how", COMPILATIONS)
def test_every_bit_survives_writing_to_a_matrix_and_reading_from_it(how):
    packing = RowPacking(SPECS)
    rows = {
        "vector": np.stack([INTEGERS, INTEGERS[::-1]], axis=1),
        "mask": np.random.default_rng(0).random([len(INTEGERS), 30]) < 0.5,
        "another": np.zeros(len(INTEGERS), np.float32),
        "number": INTEGERS,
        "matrix": np.stack([np.roll(FLOATS, shift) for shift in range(6)], axis=1).reshape([-1, 2, 3]),
    }
    matrix = tf.Variable(tf.zeros([20, packing.width]))

    def write_and_read(rows):
        places = 2 * tf.range(len(INTEGERS))
        matrix.scatter_nd_update(places[:, tf.newaxis], packing.pack(rows))
        return packing.unpack(tf.gather(matrix, places))

    found = COMPILATIONS[how](write_and_read)({name: tf.constant(values) for name, values in rows.items()})
    assert list(found) == list(SPECS)
    for name, column in found.items():
        same(column, rows[name])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (tf.TensorSpec([LARGEST], tf.float32), True),
        (tf.TensorSpec([LARGEST + 1], tf.float32), False),
        (tf.TensorSpec([], tf.int32), True),
        (tf.TensorSpec([LARGEST * BITS], tf.bool), True),
        (tf.TensorSpec([LARGEST * BITS + 1], tf.bool), False),
        (tf.TensorSpec([4], tf.uint8), False),
        (tf.TensorSpec([], tf.int64), False),
    ],
)
def test_only_small_columns_of_four_bytes_or_of_bits_are_packed(spec, expected):
    assert fits(spec) == expected
