"""`Layout`: whatever is packed comes back, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from engine_testing import DTYPES, JIT, SHAPES, random_bits, same, specs_of
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrl.engine.layout import Layout
from polyrl.engine.packing import LIMIT


def compiled(function, specs, jit):
    return tf.function(function, jit_compile=jit, autograph=False).get_concrete_function(*specs)


ARRAYS = st.lists(st.tuples(st.sampled_from(DTYPES), st.sampled_from(SHAPES)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(kinds=ARRAYS, seed=st.integers(0, 2**32 - 1))
def test_arrays_come_back_bit_for_bit(kinds, seed):
    rng = np.random.default_rng(seed)
    arrays = [random_bits(rng, dtype, shape) for dtype, shape in kinds]
    layout = Layout(specs_of(arrays))
    packed = layout.pack_arrays(arrays)
    assert [(tensor.shape, tensor.dtype) for tensor in packed] == [(spec.shape, spec.dtype) for spec in layout.specs]
    for found, expected in zip(layout.unpack(packed), arrays, strict=True):
        same(found, expected)
    for found, expected in zip(layout.unpack_arrays(packed), arrays, strict=True):
        same(found, expected)
        assert isinstance(found, np.ndarray)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    for found, expected in zip(layout.pack([tf.constant(array) for array in arrays]), packed, strict=True):
        same(found, expected)


@settings(max_examples=60, deadline=None)
@given(kinds=ARRAYS, seed=st.integers(0, 2**32 - 1), data=st.data())
def test_an_update_changes_what_it_names_and_nothing_else(kinds, seed, data):
    rng = np.random.default_rng(seed)
    before, after = ([random_bits(rng, dtype, shape) for dtype, shape in kinds] for _ in range(2))
    chosen = data.draw(st.sets(st.sampled_from(range(len(kinds)))))
    layout = Layout(specs_of(before))
    packed = layout.pack_arrays(before)
    updated = layout.update(packed, {index: tf.constant(after[index]) for index in chosen})
    assert bool(updated) == any(after[index].size or index in layout.alone for index in chosen)
    present = [updated.get(position, tensor) for position, tensor in enumerate(packed)]
    for index, found in enumerate(layout.unpack(present)):
        same(found, after[index] if index in chosen else before[index])


@pytest.mark.default_cases(2)
@JIT
@pytest.mark.parametrize("seed", [0, 1])
def test_every_shape_of_every_dtype_goes_through_a_compiled_call(jit, seed):
    """Unpacked, half of them replaced, and packed again."""
    rng = np.random.default_rng(seed)
    kinds = [(dtype, shape) for dtype in DTYPES for shape in SHAPES]
    before, after = ([random_bits(rng, dtype, shape) for dtype, shape in kinds] for _ in range(2))
    layout = Layout(specs_of(before))
    chosen = list(range(seed, len(kinds), 2))

    def function(*inputs):
        packed, replaced = inputs[: len(layout.specs)], inputs[len(layout.specs) :]
        updated = layout.update(packed, dict(zip(chosen, replaced, strict=True)))
        return [updated.get(position, tensor) for position, tensor in enumerate(packed)], layout.unpack(packed)

    call = compiled(function, [*layout.specs, *specs_of([after[index] for index in chosen])], jit)
    present, unpacked = call(*layout.pack_arrays(before), *(tf.constant(after[index]) for index in chosen))
    for found, expected in zip(unpacked, before, strict=True):
        same(found, expected)
    for index, found in enumerate(layout.unpack(present)):
        same(found, after[index] if index in chosen else before[index])


@JIT
def test_nan_payloads_and_negative_integers_keep_their_bits(jit):
    nan32 = np.array([0x7FC00001, 0xFFC12345, 0x7F800001, 0x80000000, 0x00000001], np.uint32).view(np.float32)
    nan64 = np.array([0x7FF8000000000001, 0xFFF8DEADBEEF0001, 0x8000000000000000, 1], np.uint64).view(np.float64)
    arrays = [nan32, np.array([-1, -(2**31), 2**31 - 1], np.int32), nan64, np.array([-1, -(2**63), 2**63 - 1], np.int64)]
    layout = Layout(specs_of(arrays))
    assert len(layout.specs) == layout.vectors == 2
    found = compiled(lambda *packed: layout.unpack(packed), layout.specs, jit)(*layout.pack_arrays(arrays))
    for tensor, expected in zip(found, arrays, strict=True):
        same(tensor, expected)


def test_small_tensors_share_a_vector_by_their_size_and_others_stay_alone():
    kinds = [
        ("float32", (3,)),
        ("uint8", (2,)),
        ("int64", ()),
        ("int32", (2, 2)),
        ("float64", (5,)),
        ("float32", (LIMIT,)),
        ("float32", (LIMIT + 1,)),
        ("int64", (LIMIT + 1,)),
        ("bool", ()),
        ("float16", (4,)),
        ("bool", (2, 3)),
        ("uint8", (LIMIT + 1,)),
        ("int8", (3,)),
        ("float8_e5m2", (2,)),
    ]
    layout = Layout([tf.TensorSpec(shape, dtype) for dtype, shape in kinds])
    assert layout.vectors == 3
    assert layout.alone == [6, 7, 9, 11, 13]
    assert [spec.shape.as_list() for spec in layout.specs[:3]] == [[3 + 4 + LIMIT], [1 + 5], [2 + 1 + 6 + 3]]
    assert [spec.dtype.size for spec in layout.specs[:3]] == [4, 8, 1]
    assert [(spec.dtype.name, spec.shape) for spec in layout.specs[3:]] == [kinds[index] for index in layout.alone]


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1])
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool"])
def test_tensors_about_the_limit_come_back(size, dtype):
    rng = np.random.default_rng(size)
    arrays = [random_bits(rng, dtype, (size,)), random_bits(rng, dtype, (3,)), random_bits(rng, dtype, (size,))]
    layout = Layout(specs_of(arrays))
    packed = layout.pack_arrays(arrays)
    new = random_bits(rng, dtype, (size,))
    updated = layout.update(packed, {2: tf.constant(new)})
    present = [updated.get(position, tensor) for position, tensor in enumerate(packed)]
    for found, expected in zip(layout.unpack(present), [*arrays[:2], new], strict=True):
        same(found, expected)


@pytest.mark.parametrize("times", [1, 3])
def test_a_packing_holds_what_it_was_given_last(times):
    """The buffers are written again by the next one, the arrays are the caller's."""
    layout = Layout([tf.TensorSpec([3]), tf.TensorSpec([], tf.int64), tf.TensorSpec([2], tf.uint8)])
    for number in range(times):
        small, frame = np.full(3, number, np.float32), np.array([number, 2], np.uint8)
        packed = layout.pack_arrays([small, 5 + number, frame])
        small[:], frame[:] = -1.0, 9  # An environment's own buffers.
        one, five, two = layout.unpack(packed)
        np.testing.assert_array_equal(one, np.full(3, number))
        assert five == 5 + number
        np.testing.assert_array_equal(two, [number, 2])


@pytest.mark.parametrize("dtype", DTYPES)
def test_python_numbers_are_packed_as_their_spec_says(dtype):
    layout = Layout([tf.TensorSpec([], dtype), tf.TensorSpec([2])])
    number = layout.unpack(layout.pack_arrays([dtype == "bool" or 1, np.zeros(2, np.float32)]))[0]
    assert (number.dtype.name, int(number)) == (dtype, 1)
