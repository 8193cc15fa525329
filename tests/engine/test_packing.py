"""`Packing`: what goes in comes out, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from engine_testing import COMPILATIONS, DTYPES, SHAPES, random_bits, same, specs_of

from polyrl.engine.packing import BITS, Packing

CARRIERS = ("float32", "int32", "float64", "int64", "uint8")


def kinds_for(carrier: str) -> list[tuple[str, tuple[int, ...]]]:
    """Every shape of every dtype that can be packed in `carrier`."""
    size = np.dtype(carrier).itemsize
    return [(dtype, shape) for dtype in DTYPES if dtype == "bool" or np.dtype(dtype).itemsize == size for shape in SHAPES]


def arrays_for(carrier: str, batch=(), seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [random_bits(rng, dtype, (*batch, *shape)) for dtype, shape in kinds_for(carrier)]


def packing_for(carrier: str) -> Packing:
    return Packing([tf.TensorSpec(shape, dtype) for dtype, shape in kinds_for(carrier)], tf.as_dtype(carrier))


@pytest.mark.default_cases(5)
@pytest.mark.parametrize("how", COMPILATIONS)
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)], ids=str)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_every_shape_of_every_dtype_comes_back_bit_for_bit(carrier, batch, how):
    packing, arrays = packing_for(carrier), arrays_for(carrier, batch)

    def there_and_back(*tensors):
        packed = packing.pack(tensors)
        return packed, packing.unpack(packed)

    packed, found = COMPILATIONS[how](there_and_back)(*(tf.constant(array) for array in arrays))
    assert (packed.dtype, packed.shape) == (carrier, [*batch, packing.width])
    for one, two in zip(found, arrays, strict=True):
        same(one, two)
    for one, two in zip(packing.unpack_arrays(packed.numpy()), arrays, strict=True):
        same(one, two)


def test_tensors_are_one_behind_the_other_in_their_order():
    packing = Packing([tf.TensorSpec([2]), tf.TensorSpec([], tf.int32), tf.TensorSpec([3], tf.bool)], tf.float32)
    packed = packing.pack([[1.0, 2.0], np.float32(7.5).view(np.int32), [True, False, True]])
    np.testing.assert_array_equal(packed, [1.0, 2.0, 7.5, 5.0])


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("how", COMPILATIONS)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_write_changes_its_tensor_and_nothing_else(carrier, how):
    packing, before, after = packing_for(carrier), arrays_for(carrier), arrays_for(carrier, seed=1)
    chosen = range(0, len(before), 3)

    def change(packed, *tensors):
        for index, tensor in zip(chosen, tensors, strict=True):
            packed = packing.write(packed, index, tensor)
        return packing.unpack(packed)

    found = COMPILATIONS[how](change)(packing.pack(before), *(tf.constant(after[index]) for index in chosen))
    for index, tensor in enumerate(found):
        same(tensor, after[index] if index in chosen else before[index])


def test_views_read_and_write_a_vector_of_numpy():
    rng = np.random.default_rng(0)
    before, after = ([random_bits(rng, dtype, (2, 3)) for dtype in ("float32", "int32", "float32")] for _ in range(2))
    packing = Packing(specs_of(before), tf.int32)
    vector = packing.pack(before).numpy()
    views = packing.views(vector)
    for view, expected in zip(views, before, strict=True):
        same(view, expected)
    for view, array in zip(views, after, strict=True):
        view[...] = array
    for found, expected in zip(packing.unpack(tf.constant(vector)), after, strict=True):
        same(found, expected)


@pytest.mark.parametrize("how", COMPILATIONS)
@pytest.mark.parametrize("shape", [[], [1], [BITS - 1], [BITS], [BITS + 1], [3, 17], [5 * BITS]])
def test_any_pattern_of_bools_comes_back(how, shape):
    """None of them, all, each alone, and at random."""
    size = int(np.prod(shape))
    random = np.random.default_rng(0).random([99, size]) < 0.5
    rows = np.concatenate([np.zeros([1, size], bool), np.ones([1, size], bool), np.eye(size, dtype=bool), random])
    rows = rows.reshape([-1, *shape])
    packing = Packing([tf.TensorSpec(shape, tf.bool), tf.TensorSpec([2])], tf.float32)
    assert packing.width == -(-size // BITS) + 2
    others = tf.random.stateless_normal([len(rows), 2], [0, 1])
    found = COMPILATIONS[how](lambda *tensors: packing.unpack(packing.pack(tensors)))(tf.constant(rows), others)
    np.testing.assert_array_equal(found[0], rows)
    np.testing.assert_array_equal(found[1], others)


@pytest.mark.parametrize(("dtype", "carrier"), [("float64", "float32"), ("uint8", "int32"), ("float32", "int64")])
def test_a_dtype_of_another_size_is_refused(dtype, carrier):
    with pytest.raises(ValueError, match=rf"bytes can be packed in {carrier}, got TensorSpec\(shape=\(3,\), dtype=tf.{dtype}"):
        Packing([tf.TensorSpec([3], dtype)], tf.as_dtype(carrier))


def test_nothing_is_packed_as_nothing():
    packing = Packing([], tf.float64)
    packed = packing.pack([])
    assert (packed.dtype, packed.shape, packing.width) == (tf.float64, [0], 0)
    assert packing.unpack(packed) == []
