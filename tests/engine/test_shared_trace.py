"""`SharedTrace`: graphs share one tracing; what is done eagerly or with stand-ins is the function itself."""

from __future__ import annotations

import tensorflow as tf
from engine_testing import Holder, variable

from polyrl.engine.functional import Functional
from polyrl.engine.shared_trace import SharedTrace
from polyrl.engine.tracing import traced


def counted(holder):
    """A shared trace of a function that adds to the holder's variable, and a list with an entry for each of its calls."""
    calls = []

    def function(x):
        calls.append(tf.inside_function())
        holder.total.assign_add(x)
        return x + holder.total

    return SharedTrace(function, traced(function).get_concrete_function(tf.TensorSpec([], tf.float32))), calls


def test_graphs_and_loops_in_them_trace_nothing_again():
    holder = Holder(total=variable(0.0))
    shared, calls = counted(holder)
    assert float(traced(lambda x: shared(x) + shared(x))(tf.constant(1.0))) == 2.0 + 3.0
    loop = traced(lambda x: tf.while_loop(lambda y: y < 100.0, lambda y: [shared(y)], [x])[0])
    expected, total = 1.0, 2.0
    while expected < 100.0:
        total += expected
        expected += total
    assert (float(loop(tf.constant(1.0))), float(holder.total)) == (expected, total)
    assert calls == [True]


def test_eagerly_it_is_the_function():
    holder = Holder(total=variable(0.0))
    shared, calls = counted(holder)
    assert float(shared(tf.constant(2.0))) == 4.0
    assert calls == [True, False]


def test_stand_ins_are_assigned_in_place_of_variables():
    holder = Holder(total=variable(0.0))
    shared, calls = counted(holder)
    functional = Functional([holder])

    def pure(before, x):
        with functional.given([before]):
            return shared(x), functional.values()

    result, (after,) = traced(pure)(tf.constant(10.0), tf.constant(1.0))
    assert (float(result), float(after), float(holder.total)) == (12.0, 11.0, 0.0)
    assert calls == [True, True]
