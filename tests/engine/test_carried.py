"""`CarriedState`: compiled calls on carried values do what eager calls do on variables."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import tensorflow as tf
from engine_testing import Holder, assert_close

from polyrl.engine import functional
from polyrl.engine.carried import CarriedState
from polyrl.engine.functional import NotFunctionalError
from polyrl.engine.packing import LIMIT

NUMBER = tf.TensorSpec([], tf.float32)


def counter_and_table() -> Holder:
    """Variables of several dtypes, in vectors and alone."""
    return Holder(
        count=tf.Variable(0, dtype=tf.int64, name="count"),
        weights=tf.Variable([1.0, 2.0, 3.0], name="weights"),
        untouched=tf.Variable([-1, 2], name="untouched"),
        flag=tf.Variable(False, name="flag"),
        precise=tf.Variable([0.1, 0.2], dtype=tf.float64, name="precise"),
        large=tf.Variable(tf.zeros([LIMIT + 1]), name="large"),
    )


def step(holder: Holder, x) -> list:
    holder.count.assign_add(1)
    holder.weights.assign(holder.weights * x)
    holder.flag.assign(~holder.flag.read_value())
    holder.precise.assign_sub([0.0, 1.0])
    position = tf.reshape(holder.count.read_value(), [1, 1])
    holder.large.scatter_nd_update(position, tf.reshape(x, [1]))
    return [tf.reduce_sum(holder.weights), holder.count.read_value()]


def new_call(holder: Holder):
    """A state of the holder's variables, and `step` compiled."""
    state = CarriedState([holder], lambda: step(holder, tf.constant(1.0)))
    return state, state.compile(lambda x: step(holder, x), [NUMBER])


def values(holder: Holder) -> list[np.ndarray]:
    return [variable.numpy() for variable in holder.variables]


# Between calls. ---------------------------------------------------------------------------------------------------------


def test_calls_compute_as_on_variables_and_their_values_are_written_back():
    ours, plain = counter_and_table(), counter_and_table()
    state, call = new_call(ours)
    for x in (2.0, 0.5, -3.0, 1.0):
        outputs, expected = call(tf.constant(x)), step(plain, tf.constant(x))
        assert [value.numpy() for value in outputs] == [value.numpy() for value in expected]
    assert ours.count.numpy() == 0  # Carried.
    state.write_back()
    for one, two in zip(values(ours), values(plain), strict=True):
        np.testing.assert_array_equal(one, two)
    assert ours.count.numpy() == 4


def test_building_and_compiling_change_nothing():
    holder = counter_and_table()
    before, attributes = values(holder), dict(vars(holder))
    state, _ = new_call(holder)
    state.write_back()
    for one, two in zip(before, values(holder), strict=True):
        np.testing.assert_array_equal(one, two)
    assert all(vars(holder)[name] is value for name, value in attributes.items())


def test_what_was_assigned_between_calls_is_loaded():
    holder = counter_and_table()
    state, call = new_call(holder)
    call(tf.constant(2.0))
    state.write_back()
    holder.weights.assign([10.0, 20.0, 30.0])
    holder.large.assign(tf.ones([LIMIT + 1]))
    state.load()
    assert call(tf.constant(1.0))[0] == 60.0
    state.write_back()
    assert holder.count.numpy() == 2
    np.testing.assert_array_equal(holder.weights, [10.0, 20.0, 30.0])
    assert holder.large.numpy().sum() == LIMIT + 1  # At position 2 a one again.


def test_nothing_is_written_back_twice():
    """As when weights are restored and then evaluated, without an update between."""
    holder = counter_and_table()
    state, call = new_call(holder)
    call(tf.constant(2.0))
    state.write_back()
    holder.weights.assign([7.0, 7.0, 7.0])
    state.write_back()
    np.testing.assert_array_equal(holder.weights, [7.0, 7.0, 7.0])


def test_a_call_begins_where_another_one_ended():
    """One state, two compiled functions in turn."""
    holder = counter_and_table()
    state, first = new_call(holder)

    def double():
        holder.weights.assign(holder.weights * 2.0)
        return [tf.reduce_sum(holder.weights)]

    second = state.compile(double, [])
    assert [first(tf.constant(2.0))[0], second()[0], second()[0], first(tf.constant(0.5))[0]] == [12.0, 24.0, 48.0, 24.0]
    state.write_back()
    np.testing.assert_array_equal(holder.weights, [4.0, 8.0, 12.0])


def test_a_state_without_small_variables_is_kept_too():
    holder = Holder(large=tf.Variable(tf.zeros([LIMIT + 1])))

    def update():
        holder.large.assign_add(tf.ones([LIMIT + 1]))
        return [tf.reduce_sum(holder.large)]

    call = CarriedState([holder], update).compile(update, [])
    assert [float(call()[0]), float(call()[0])] == [LIMIT + 1, 2 * (LIMIT + 1)]
    assert holder.large.numpy().sum() == 2 * (LIMIT + 1)  # A large one is always up to date.


def test_an_empty_variable_is_assigned_too():
    """As the vector of an optimizer whose variables are all large."""
    holder = Holder(empty=tf.Variable(tf.zeros([0])), count=tf.Variable(0.0))

    def update():
        holder.empty.assign(holder.empty * 2.0)
        return [holder.count.assign_add(1.0)]

    call = CarriedState([holder], update).compile(update, [])
    assert [float(call()[0]), float(call()[0])] == [1.0, 2.0]


def test_loops_and_branches_that_assign_compute_as_on_variables():
    ours, plain = counter_and_table(), counter_and_table()

    def loop(holder, times):
        def body(n, total):
            total += step(holder, tf.constant(1.25))[0]
            functional.when(n % 2 == 1, lambda: holder.untouched.assign_add([1, 10]))
            return n + 1, total

        return functional.while_loop(lambda n, total: n < times, body, [tf.constant(0), tf.constant(0.0)])

    state = CarriedState([ours], lambda: step(ours, tf.constant(1.0)))
    call = state.compile(lambda times: loop(ours, times), [tf.TensorSpec([], tf.int32)])
    for times in (3, 0, 2):
        for one, two in zip(call(tf.constant(times)), loop(plain, tf.constant(times)), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-6)
    state.write_back()
    assert_close(values(ours), values(plain), rtol=1e-6)
    np.testing.assert_array_equal(ours.untouched, [1, 22])


# What is not carried. ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [False, True], ids=["by_closure_alone", "by_a_module_too"])
def test_a_variable_used_through_a_closure_stays_where_it_is_and_is_right(held, caplog):
    caplog.set_level(logging.INFO, "polyrl")
    ours, plain = (Holder(weights=tf.Variable([1.0, 2.0])) for _ in range(2))
    hidden = [tf.Variable(0.0, name=f"hidden_{n}") for n in range(2)]

    def update(holder, own):
        own.assign_add(1.0)
        holder.weights.assign(holder.weights + own)
        return [tf.reduce_sum(holder.weights)]

    if held:
        ours.also, plain.also = hidden
    state = CarriedState([ours], lambda: update(ours, hidden[0]))
    call = state.compile(lambda: update(ours, hidden[0]), [])
    for _ in range(4):
        assert call()[0].numpy() == update(plain, hidden[1])[0].numpy()
    assert hidden[0].numpy() == 4.0  # In place.
    state.write_back()
    np.testing.assert_array_equal(ours.weights, plain.weights)
    assert "hidden_0" in caplog.text


def test_an_assignment_in_a_branch_is_refused():
    holder = Holder(own=tf.Variable(1.0, name="counter"))

    def update():
        return tf.cond(holder.own > 0.0, lambda: holder.own.assign(2.0), lambda: tf.constant(0.0))

    with pytest.raises(NotFunctionalError, match="counter"):
        CarriedState([holder], update)
    assert isinstance(holder.own, tf.Variable)


def test_a_call_that_uses_a_carried_variable_in_place_is_refused_by_name():
    """It would see an old value."""
    holder = Holder(own=tf.Variable(1.0, name="counter"), other=tf.Variable(2.0))
    own = holder.own
    state = CarriedState([holder], lambda: [holder.other.assign_add(holder.own)])
    with pytest.raises(NotFunctionalError, match=r"not in the probe.*counter"):
        state.compile(lambda: [own.assign_add(1.0)], [])
