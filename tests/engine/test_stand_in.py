"""`StandIn`: reads and is assigned as the variable that it stands for."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from engine_testing import JIT, Holder, run, variable

from polyrl.engine.functional import Functional, StandIn

BINARY = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "pow": operator.pow,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


@pytest.mark.parametrize("name", BINARY)
def test_arithmetic_is_that_of_the_variable(name):
    """From the left, with numbers, arrays, tensors and other variables on the right."""
    apply = BINARY[name]
    first, second = variable([1.5, 2.5, -3.5]), variable([0.5, 2.5, 3.0])
    others = [2.0, np.array([1.0, 2.5, 4.0], np.float32), tf.constant([1.0, 2.5, 4.0])]
    holder = Holder(first=first, second=second)

    def function():
        return [apply(holder.first, other) for other in (*others, holder.second)]

    expected = [np.asarray(apply(first, other)) for other in (*others, second)]
    for found, value in zip(run([holder], function)[1], expected, strict=True):
        np.testing.assert_array_equal(found, value)
        assert found.dtype == value.dtype


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow", "lt", "le", "gt", "ge"])
def test_arithmetic_from_the_right_is_that_of_the_variable(name):
    apply = BINARY[name]
    own = variable([1.5, 2.5, 3.5])
    others = [2.0, np.array([1.0, 2.5, 4.0], np.float32), tf.constant([1.0, 2.5, 4.0])]
    holder = Holder(own=own)
    found = run([holder], lambda: [apply(other, holder.own) for other in others])[1]
    for value, other in zip(found, others, strict=True):
        np.testing.assert_array_equal(value, np.asarray(apply(other, own)))


@pytest.mark.parametrize("name", ["floordiv", "mod"])
def test_whole_numbers_divide_from_the_right_as_the_variable_does(name):
    own = variable([2, 3, 5], tf.int64)
    holder = Holder(own=own)
    apply = BINARY[name]
    found = run([holder], lambda: [apply(17, holder.own), apply(tf.constant(17, tf.int64), holder.own)])[1]
    for value in found:
        np.testing.assert_array_equal(value, apply(17, own.numpy()))


def test_matrices_are_multiplied_from_both_sides():
    own = variable([[1.0, 2.0], [3.0, 4.0]])
    other = tf.constant([[0.0, 1.0], [1.0, 0.0]])
    holder = Holder(own=own)
    left, right, plain = run([holder], lambda: [holder.own @ other, other @ holder.own, tf.matmul(holder.own, holder.own)])[1]
    np.testing.assert_array_equal(left, own.numpy() @ other.numpy())
    np.testing.assert_array_equal(right, other.numpy() @ own.numpy())
    np.testing.assert_array_equal(plain, own.numpy() @ own.numpy())


def test_signs_magnitudes_parts_and_conversions_are_those_of_the_variable():
    own = variable([[1.0, -2.0], [-3.0, 4.0]])
    holder = Holder(own=own)

    def function():
        v = holder.own
        return [-v, abs(v), v[0], v[..., 1], v[:, tf.newaxis], tf.identity(v), v.read_value(), v.value(), tf.reduce_sum(v)]

    for found, expected in zip(run([holder], function)[1], tf.function(function, autograph=False)(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("value", [3, 4])
def test_a_counter_is_compared_for_equality_by_value(value):
    """As `if step == 0` is in TensorFlow's own code: not by identity, which is False for ever, in silence."""
    holder = Holder(own=variable(3, tf.int64))
    equal, unequal = run([holder], lambda: [tf.convert_to_tensor(holder.own == value), holder.own != value])[1]
    assert (equal, unequal) == (value == 3, value != 3)


def test_flags_are_combined_as_the_variables_are():
    own, other = tf.Variable([True, True, False, False]), tf.constant([True, False, True, False])
    holder = Holder(own=own)

    def function():
        v = holder.own
        return [v & other, v | other, v ^ other, other & v, other | v, other ^ v, ~v]

    for found, expected in zip(run([holder], function)[1], function(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_python_branch_on_a_variable_is_refused_as_on_a_tensor():
    """In a graph its value is not known: without an error one of the branches would be taken for ever."""
    holder = Holder(own=variable(0.0))

    def function():
        return tf.constant(1) if holder.own else tf.constant(2)

    with pytest.raises(TypeError, match="bool"):
        tf.function(function, autograph=False)()
    with pytest.raises(TypeError, match="bool"):
        run([holder], function)


def test_a_conversion_to_another_dtype_is_refused():
    holder = Holder(own=variable(1.0))
    with pytest.raises((TypeError, ValueError), match="float32"):
        run([holder], lambda: tf.convert_to_tensor(holder.own, tf.int32))


def test_a_stand_in_is_found_where_its_variable_would_be():
    own = variable([1.0, 2.0], name="kernel", trainable=False, constraint=tf_keras.constraints.non_neg())
    holder = Holder(own=own)
    seen = {}

    def function():
        found = holder.own
        assert isinstance(found, StandIn)
        names = ("name", "dtype", "shape", "trainable", "constraint", "_unique_id")
        seen.update({name: getattr(found, name) for name in names}, ref=found.ref())
        return tf.zeros([])

    run([holder], function)
    assert seen.pop("ref") == own.ref()
    assert seen == {name: getattr(own, name) for name in seen}


def test_what_would_go_past_the_stand_in_is_refused():
    holder = Holder(own=variable(1.0))
    with pytest.raises(AttributeError, match="handle"):
        run([holder], lambda: holder.own.handle)


# Assignments. -----------------------------------------------------------------------------------------------------------


@JIT
def test_assignments_change_the_value_that_is_carried_and_not_the_variable(jit):
    own = variable([1.0, 2.0, 3.0])
    holder = Holder(own=own)

    def function():
        v = holder.own
        seen = [v.assign_add([1.0, 1.0, 1.0]), v.assign_sub(tf.constant([0.5, 0.0, 0.0])), v.assign(v * 2.0)]
        seen += [v.scatter_nd_update([[2], [0]], [7.0, -1.0]), v.read_value()]
        return seen

    after, seen = run([holder], function, jit=jit)
    expected = [[2.0, 3.0, 4.0], [1.5, 3.0, 4.0], [3.0, 6.0, 8.0], [-1.0, 6.0, 7.0], [-1.0, 6.0, 7.0]]
    np.testing.assert_array_equal(seen, expected)
    np.testing.assert_array_equal(after[0], expected[-1])
    np.testing.assert_array_equal(own, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.float16, tf.int32, tf.int64, tf.uint8, tf.bool])
def test_a_variable_of_any_dtype_is_assigned(dtype):
    value = np.array([0, 1, 1]).astype(dtype.as_numpy_dtype)
    holder = Holder(own=tf.Variable(np.zeros_like(value)))
    after, _ = run([holder], lambda: holder.own.assign(value))
    np.testing.assert_array_equal(after[0], value)
    assert after[0].dtype == value.dtype


def test_python_numbers_take_the_variables_dtype():
    holder = Holder(own=variable(1, tf.int64))
    assert run([holder], lambda: holder.own.assign_add(2))[0][0] == 3


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64, tf.float64, tf.bool], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("method", ["assign", "assign_add", "assign_sub"])
def test_a_value_of_another_dtype_is_refused_as_the_variable_refuses_it(method, dtype):
    holder = Holder(own=variable(1.0, name="kernel"))

    def function():
        return getattr(holder.own, method)(tf.cast(tf.identity(1), dtype))

    with pytest.raises((TypeError, ValueError), match="float32"):
        tf.function(function, autograph=False)()
    with pytest.raises((TypeError, ValueError), match="float32"):
        run([holder], function)


@pytest.mark.parametrize("wrong", [tf.zeros([3]), tf.zeros([]), tf.zeros([1, 2])], ids=lambda x: str(x.shape))
def test_a_value_of_another_shape_is_refused_by_name(wrong):
    holder = Holder(own=variable([1.0, 2.0], name="kernel"))
    with pytest.raises(ValueError, match="kernel"):
        run([holder], lambda: holder.own.assign(wrong))


# The same as on plain variables. ----------------------------------------------------------------------------------------


@JIT
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_programs_do_what_they_do_to_variables(seed, jit):
    """Assignments of all kinds to three variables, in a random order."""
    rng = np.random.default_rng(seed)
    start = rng.normal(size=[3, 4]).astype(np.float32)
    program = [(int(kind), *rng.integers(0, 3, 2), rng.normal(size=4).astype(np.float32)) for kind in rng.integers(0, 5, 30)]

    def execute(variables):
        for kind, a, b, numbers in program:
            if kind == 0:
                variables[a].assign(variables[b] * 0.5 + numbers)
            elif kind == 1:
                variables[a].assign_add(tf.tanh(variables[b]))
            elif kind == 2:
                variables[a].assign_sub(numbers * variables[b])
            elif kind == 3:
                variables[a].scatter_nd_update([[1], [3]], tf.gather(variables[b], [0, 2]))
            else:
                variables[a].assign(tf.where(variables[b] > 0.0, variables[a], numbers))
        return tf.add_n([v.read_value() for v in variables])

    ours, plain = ([tf.Variable(row) for row in start] for _ in range(2))
    holder = Holder(several=ours)
    after, total = run([holder], lambda: execute(holder.several), jit=jit)
    expected = execute(plain)
    order = [next(i for i, v in enumerate(ours) if v is w) for w in Functional([holder]).variables]
    for value, index in zip(after, order, strict=True):
        np.testing.assert_allclose(value, plain[index], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-5)
    assert math.isfinite(float(np.sum(total)))
