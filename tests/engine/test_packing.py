"""`Packing`: what goes in comes out, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from replay_testing import COMPILATIONS

from polyrl.engine.packing import LARGEST, Packing, fits

SPECS = {
    "number": tf.TensorSpec([], tf.int32),
    "matrix": tf.TensorSpec([2, 3], tf.float32),
    "vector": tf.TensorSpec([2], tf.int32),
}
# As floats the integers are denormal, infinite, and NaNs of several kinds.
INTEGERS = np.array([0, 1, -1, 7, 2**31 - 1, -(2**31), 0x7F800000, 0x7FA00001, 0x7FC00000], np.int32)
FLOATS = np.array([0.0, -0.0, 1e-45, 1e-39, np.inf, -np.inf, 3.14, 3e38, np.nan], np.float32)


@pytest.mark.parametrize("how", COMPILATIONS)
def test_every_bit_survives_writing_and_reading(how):
    packing = Packing(SPECS)
    rows = {
        "number": INTEGERS,
        "matrix": np.stack([np.roll(FLOATS, shift) for shift in range(6)], axis=1).reshape([-1, 2, 3]),
        "vector": np.stack([INTEGERS, INTEGERS[::-1]], axis=1),
    }
    matrix = tf.Variable(tf.zeros([20, packing.width]))

    def write_and_read(rows):
        places = 2 * tf.range(len(INTEGERS))
        matrix.scatter_nd_update(places[:, tf.newaxis], packing.pack(rows))
        return packing.unpack(tf.gather(matrix, places))

    result = COMPILATIONS[how](write_and_read)({name: tf.constant(values) for name, values in rows.items()})
    for name, values in rows.items():
        np.testing.assert_array_equal(result[name].numpy().view(np.int32), values.view(np.int32))


def test_rows_of_several_dimensions_are_unpacked():
    packing = Packing(SPECS)
    packed = tf.reshape(tf.range(5 * 4 * packing.width, dtype=tf.float32), [5, 4, packing.width])
    columns = packing.unpack(packed)
    assert {name: tuple(column.shape) for name, column in columns.items()} == {
        "number": (5, 4),
        "matrix": (5, 4, 2, 3),
        "vector": (5, 4, 2),
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (tf.TensorSpec([LARGEST], tf.float32), True),
        (tf.TensorSpec([LARGEST + 1], tf.float32), False),
        (tf.TensorSpec([], tf.int32), True),
        (tf.TensorSpec([4], tf.uint8), False),
        (tf.TensorSpec([], tf.int64), False),
    ],
)
def test_only_small_columns_of_four_bytes_are_packed(spec, expected):
    assert fits(spec) == expected
