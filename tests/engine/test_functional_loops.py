"""`functional.while_loop`, whose body assigns, is a Python loop; gradients inside of it and elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from engine_testing import JIT, Holder, run, variable

from polyrl.engine import functional
from polyrl.engine.functional import Functional


def fibonacci(holder, times: int, loop):
    """`times` steps that assign both variables, with a loop variable that reads them."""

    def body(n, total):
        number = holder.first + holder.second
        holder.first.assign(holder.second.read_value())
        holder.second.assign(number)
        return n + 1, total + holder.first * 0.5

    return loop(lambda n, total: n < times, body, [tf.constant(0), tf.constant(0.0)])


def python_loop(cond, body, loop_vars):
    while cond(*loop_vars):
        loop_vars = body(*loop_vars)
    return list(loop_vars)


@JIT
@pytest.mark.parametrize("times", [0, 1, 2, 10])
def test_a_loop_that_assigns_is_a_python_loop(times, jit):
    ours, plain = (Holder(first=variable(0.0), second=variable(1.0), unused=variable(7.0)) for _ in range(2))
    after, outputs = run([ours], lambda: fibonacci(ours, times, functional.while_loop), jit=jit)
    expected = fibonacci(plain, times, python_loop)
    assert outputs == [value.numpy() for value in expected]
    values = dict(zip([id(v) for v in Functional([ours]).variables], after, strict=True))
    for name in ("first", "second", "unused"):
        assert values[id(getattr(ours, name))] == getattr(plain, name).numpy()
    assert ours.second.numpy() == 1.0


@JIT
@pytest.mark.parametrize(("outer", "inner"), [(1, 3), (3, 1), (4, 0), (3, 4)])
def test_loops_within_loops_are_python_loops(outer, inner, jit):
    ours, plain = (Holder(first=variable(0.0), second=variable(1.0)) for _ in range(2))

    def nested(holder, loop):
        def body(n, total):
            holder.first.assign_add(1.0)
            count, extra = fibonacci(holder, inner, loop)
            holder.second.assign_sub(tf.cast(count, tf.float32))
            return n + 1, total + extra * holder.second

        return loop(lambda n, total: n < outer, body, [tf.constant(0), tf.constant(0.0)])

    after, outputs = run([ours], lambda: nested(ours, functional.while_loop), jit=jit)
    assert outputs == [value.numpy() for value in nested(plain, python_loop)]
    assert after == [v.numpy() for v in Functional([plain]).variables]


@JIT
def test_a_loops_condition_reads_what_its_body_assigned(jit):
    holder = Holder(own=variable(1.0))

    def function():
        return functional.while_loop(
            lambda n: holder.own < 100.0, lambda n: (n + 1, holder.own.assign(holder.own * 3.0))[:1], [tf.constant(0)]
        )

    assert run([holder], function, jit=jit) == ([243.0], [5])


def test_assignments_before_and_after_a_loop_count():
    holder = Holder(own=variable(1.0))

    def function():
        holder.own.assign(5.0)
        functional.while_loop(lambda n: n < 3, lambda n: (n + 1, holder.own.assign_add(1.0))[:1], [tf.constant(0)])
        return holder.own.assign(holder.own * 10.0)

    assert run([holder], function) == ([80.0], 80.0)


@pytest.mark.parametrize("traced", [False, True])
def test_outside_of_given_a_loop_assigns_the_variables_themselves(traced):
    holder = Holder(first=variable(0.0), second=variable(1.0))

    def function():
        return fibonacci(holder, 5, functional.while_loop)

    outputs = (tf.function(function, autograph=False) if traced else function)()
    assert [float(value) for value in outputs] == [5.0, 6.0]
    assert (holder.first.numpy(), holder.second.numpy()) == (5.0, 8.0)


# Gradients. ------------------------------------------------------------------------------------------------------------


@JIT
def test_gradients_are_those_by_the_variables(jit):
    ours, plain = (Holder(w=variable([[0.5, -1.0], [2.0, 0.3]]), b=variable([0.1, -0.2])) for _ in range(2))
    x = tf.constant([[1.0, 2.0], [-0.5, 0.7], [3.0, -1.0]])

    def gradients(holder):
        with tf.GradientTape() as tape:
            sources = functional.sources([holder.w, holder.b])
            tape.watch(sources)
            loss = tf.reduce_sum(tf.tanh(x @ holder.w + holder.b) ** 2) + tf.reduce_sum(holder.w[0])
        return tape.gradient(loss, sources)

    found = run([ours], lambda: gradients(ours), jit=jit)[1]
    for one, two in zip(found, gradients(plain), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)
        assert np.abs(one).min() > 0.0


def test_gradients_are_by_the_present_value():
    """After an assignment they are by what was assigned: d(w^2)/dw at the new w."""
    holder = Holder(w=variable(3.0))

    def function():
        holder.w.assign(5.0)
        with tf.GradientTape() as tape:
            sources = functional.sources([holder.w])
            tape.watch(sources)
            loss = holder.w * holder.w
        return tape.gradient(loss, sources)[0]

    assert run([holder], function)[1] == 10.0


def test_outside_of_given_the_sources_are_the_variables():
    own = variable(1.0)
    (found,) = functional.sources([own])
    assert found is own


@JIT
def test_gradient_descent_in_a_loop_is_a_python_loop(jit):
    ours, plain = (Holder(w=variable([1.0, -2.0])) for _ in range(2))

    def descend(holder, loop):
        def body(n):
            with tf.GradientTape() as tape:
                sources = functional.sources([holder.w])
                tape.watch(sources)
                loss = tf.reduce_sum((holder.w - [3.0, 4.0]) ** 2)
            holder.w.assign_sub(0.1 * tape.gradient(loss, sources)[0])
            return (n + 1,)

        return loop(lambda n: n < 20, body, [tf.constant(0)])

    after, _ = run([ours], lambda: descend(ours, functional.while_loop), jit=jit)
    descend(plain, python_loop)
    np.testing.assert_allclose(after[0], plain.w, rtol=1e-6)
    np.testing.assert_allclose(after[0], np.array([3.0, 4.0]) + 0.8**20 * np.array([-2.0, -6.0]), rtol=1e-5)
