"""`functional.when`: code that assigns variables where a condition holds, as Python's `if` does it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from engine_testing import COMPILATIONS, JIT, Holder, run, variable

from polyrl.engine import functional
from polyrl.engine.functional import Functional


def plain_when(condition, function):
    if bool(condition):
        function()


def plain_loop(cond, body, loop_vars):
    while cond(*loop_vars):
        loop_vars = body(*loop_vars)
    return list(loop_vars)


def new_pair():
    return [Holder(first=variable(1.0), second=variable([2.0, 3.0]), count=variable(0, tf.int64)) for _ in range(2)]


def check(program, *arguments, jit=False):
    """A program of `(holder, when, while_loop, *arguments)` does to carried values what Python does to variables."""
    ours, plain = new_pair()
    after, outputs = run([ours], lambda: program(ours, functional.when, functional.while_loop, *arguments), jit=jit)
    expected = program(plain, plain_when, plain_loop, *arguments)
    values = dict(zip([v.ref() for v in Functional([ours]).variables], after, strict=True))
    for name in ("first", "second", "count"):
        np.testing.assert_allclose(values[getattr(ours, name).ref()], getattr(plain, name), rtol=1e-6, err_msg=name)
    for one, two in zip(tf.nest.flatten(outputs), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)
    return values


@JIT
@pytest.mark.parametrize("due", [True, False])
def test_a_function_runs_only_if_the_condition_holds(due, jit):
    """It reads what was assigned before, assigns by every method, and what it assigned is read afterwards."""

    def program(holder, when, _, due):
        holder.first.assign(5.0)

        def update():
            holder.first.assign(holder.first * 2.0 + holder.second[0])
            holder.second.scatter_nd_update([[1]], tf.stack([holder.first]))
            holder.count.assign_add(1)
            holder.first.assign_sub(0.25)

        when(tf.convert_to_tensor(due), update)
        holder.first.assign_add(holder.second[1])
        return holder.first.read_value(), holder.count.read_value()

    assert check(program, due, jit=jit)


@JIT
@pytest.mark.parametrize("times", [0, 1, 7])
def test_in_a_loop_a_function_runs_in_the_rounds_in_which_the_condition_holds(times, jit):
    """As a target network is updated in each third update."""

    def program(holder, when, while_loop, times):
        def body(n, total):
            holder.first.assign(holder.first * 1.5)
            holder.count.assign_add(1)
            when(holder.count % 3 == 0, lambda: holder.second.assign(holder.second + holder.first))
            return n + 1, total + holder.second[0]

        return while_loop(lambda n, total: n < times, body, [tf.constant(0), tf.constant(0.0)])

    check(program, times, jit=jit)


@JIT
@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("inner", [True, False])
def test_branches_within_branches_and_loops_within_branches(outer, inner, jit):
    def program(holder, when, while_loop, outer, inner):
        outer, inner = tf.convert_to_tensor(outer), tf.convert_to_tensor(inner)

        def body(n):
            when(inner & (n > 0), lambda: holder.count.assign_add(10))
            holder.first.assign(holder.first + holder.second[1])
            return (n + 1,)

        def update():
            holder.first.assign_add(1.0)
            when(inner, lambda: holder.second.assign(tf.stack([holder.first, 7.0])))
            while_loop(lambda n: n < 3, body, [tf.constant(0)])
            holder.second.assign(holder.second * 2.0)

        when(outer, update)
        return holder.first * 1.0

    check(program, outer, inner, jit=jit)


@pytest.mark.parametrize("due", [True, False])
def test_a_value_from_outside_of_the_branch_may_be_assigned(due):
    """A tensor, another variable's value, an array, a number: as a target network takes over weights."""
    eager = tf.constant(4.0)

    def program(holder, when, while_loop, due):
        before = holder.second.read_value()
        twice = holder.first * 2.0

        def update():
            holder.second.assign(before[::-1] if due else before)
            holder.first.assign(twice)

        when(tf.convert_to_tensor(due), update)
        when(tf.convert_to_tensor(due), lambda: holder.first.assign_add(eager))
        when(tf.convert_to_tensor(not due), lambda: holder.first.assign(eager))
        when(tf.convert_to_tensor(due), lambda: holder.count.assign(np.int64(9)))
        (_,) = while_loop(lambda n: n < 2, lambda n: (n + 1, holder.second.assign(before))[:1], [tf.constant(0)])
        return holder.first.read_value()

    check(program, due)


def test_only_what_the_function_changes_comes_out_of_the_branch():
    """A memory of a gigabyte that is only read must not be carried through it."""
    holder, _ = new_pair()
    carried = Functional([holder])

    @tf.function(autograph=False)
    def pure(*values):
        with carried.given(values):
            functional.when(holder.first > 0.0, lambda: holder.count.assign_add(tf.cast(holder.second[0], tf.int64)))
            after = carried.values()
        return [old is new for old, new in zip(values, after, strict=True)], after

    kept, after = pure(*(tf.identity(v) for v in carried.variables))
    names = [v.ref() for v in carried.variables]
    assert {ref for ref, same in zip(names, kept, strict=True) if not same} == {holder.count.ref()}
    assert after[names.index(holder.count.ref())] == 2


@JIT
@pytest.mark.parametrize("due", [True, False])
def test_variables_that_are_not_carried_are_assigned_in_place(due, jit):
    holder, kept = Holder(own=variable(1.0)), variable(5.0)
    due_now = tf.constant(due)

    def function():
        functional.when(due_now, lambda: kept.assign_add(1.0))
        functional.when(due_now, lambda: holder.own.assign(kept))
        return tf.zeros([])

    assert run([holder], function, jit=jit)[0] == [6.0 if due else 1.0]
    assert kept.numpy() == (6.0 if due else 5.0)


@JIT
@pytest.mark.parametrize("due", [True, False])
def test_what_a_branch_only_hands_on_is_selected(due, jit):
    """As weights are to a target network; what is not taken may be NaN, and computing remains in a conditional."""
    holder = Holder(
        number=variable(np.nan if due else 1.0),
        of=variable(2.0 if due else np.nan),
        flag=tf.Variable(not due),
        flags=tf.Variable(due),
    )
    due_now, found = tf.constant(due), []

    def hand_on():
        holder.number.assign(holder.of)
        holder.flag.assign(holder.flags)

    def function():
        functional.when(due_now, hand_on)
        types = {operation.type for operation in tf.constant(0).graph.get_operations()}
        functional.when(due_now, lambda: holder.of.assign(holder.of * 2.0))
        found.append((types, {operation.type for operation in tf.constant(0).graph.get_operations()}))
        return holder.number.read_value(), holder.flag.read_value()

    _, (number, flag) = run([holder], function, jit=jit)
    assert (number, flag) == ((2.0, True) if due else (1.0, True))
    assert found
    for selected, with_conditional in found:
        assert "SelectV2" in selected
        assert not {"If", "StatelessIf"} & selected
        assert {"If", "StatelessIf"} & with_conditional


@pytest.mark.parametrize("how", COMPILATIONS)
@pytest.mark.parametrize("due", [True, False])
def test_outside_of_given_it_assigns_the_variables_themselves(due, how):
    holder, plain = new_pair()

    def program(holder, when, while_loop, due):
        def body(n):
            when(due & (holder.first < 50.0), lambda: holder.first.assign(holder.first * 3.0 + holder.second[0]))
            return (n + 1,)

        while_loop(lambda n: n < 4, body, [tf.constant(0)])
        when(due, lambda: holder.count.assign_add(1))
        return holder.first.read_value()

    found = COMPILATIONS[how](lambda due: program(holder, functional.when, functional.while_loop, due))(tf.constant(due))
    assert found == program(plain, plain_when, plain_loop, tf.constant(due))
    assert (holder.first.numpy(), holder.count.numpy()) == (plain.first.numpy(), plain.count.numpy())
    assert (holder.count.numpy() == 1) == due


@pytest.mark.parametrize("value", [True, False])
def test_a_variable_may_be_the_condition(value):
    holder = Holder(own=variable(1.0), flag=tf.Variable(value))
    carried = Functional([holder])
    after, _ = run([holder], lambda: (functional.when(holder.flag, lambda: holder.own.assign(2.0)), tf.zeros([]))[1])
    assert after[[v.ref() for v in carried.variables].index(holder.own.ref())] == (2.0 if value else 1.0)


@pytest.mark.parametrize("carried", [True, False])
def test_a_condition_for_each_example_is_refused(carried):
    holder = Holder(own=variable(1.0))

    def function():
        functional.when(tf.constant([True, False]), lambda: holder.own.assign(2.0))
        return tf.zeros([])

    with pytest.raises(ValueError, match=r"condition: expected a scalar, got a tensor of shape \(2,\)"):
        run([holder], function) if carried else function()
    assert holder.own.numpy() == 1.0


def test_an_exception_in_the_function_leaves_everything_as_it_was():
    holder = Holder(own=variable(1.0, name="counter"))
    before = vars(holder).copy()

    def fail():
        holder.own.assign(3.0)
        raise KeyError("boom")

    with pytest.raises(KeyError, match="boom"):
        run([holder], lambda: functional.when(tf.constant(True), fail))
    assert vars(holder) == before
    assert run([holder], lambda: holder.own.assign_add(1.0)) == ([2.0], 2.0)


@pytest.mark.default_cases(1)
@JIT
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_programs_of_branches_and_loops_do_what_they_do_to_variables(seed, jit):
    def program(holder, when, while_loop, seed):
        rng = np.random.default_rng(seed)
        variables = [holder.first, holder.second, holder.count]

        def statement(depth):
            kind, index, number = rng.integers(0, 5 if depth else 2), rng.integers(0, 3), int(rng.integers(1, 4))
            target = variables[index]
            if kind < 2:
                sign = -1 if kind else 1
                return lambda: target.assign(sign * target + tf.cast(holder.count % 5 + number, target.dtype))
            inner = [statement(depth - 1) for _ in range(3)]

            def block():
                for each in inner:
                    each()

            if kind < 4:
                return lambda: when(holder.count % (number + 1) == 0, block)
            return lambda: while_loop(lambda n: n < number, lambda n: (block(), (n + 1,))[1], [tf.constant(0)])

        for each in [statement(2) for _ in range(8)]:
            each()
        return tf.reduce_sum(holder.second)

    check(program, seed, jit=jit)
