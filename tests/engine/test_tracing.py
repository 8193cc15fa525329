"""`traced`: TensorFlow does not count its tracings with those of other functions of the same code; `outside_of_graphs`."""

from __future__ import annotations

import contextvars
import logging

import pytest
import tensorflow as tf

from polyrl.engine.tracing import outside_of_graphs, traced


class Doubler:
    def __init__(self, function_of):
        self.call = function_of(self.double)

    def double(self, x):
        return 2.0 * x


@pytest.mark.parametrize("function_of", [traced, tf.function])
def test_each_function_is_counted_by_itself(function_of):
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    tf.get_logger().addHandler(handler)
    try:
        for _ in range(6):
            assert float(Doubler(function_of).call(tf.constant(2.0))) == 4.0
    finally:
        tf.get_logger().removeHandler(handler)
    assert any("retracing" in message for message in messages) == (function_of is tf.function)


def test_variables_made_outside_of_graphs_are_plain_and_do_not_cost_a_second_tracing():
    tracings, made = [], []

    def function(x):
        tracings.append(None)
        if not made:
            with tf.name_scope("outer"), tf.name_scope("inner"):
                made.append(outside_of_graphs(lambda: tf.Variable(tf.constant(3.0) + 1.0, name="variable")))
        return made[0] * x

    call = traced(function)
    assert float(call(tf.constant(2.0))) == 8.0
    assert float(call.get_concrete_function(tf.TensorSpec([], tf.float32))(tf.constant(0.5))) == 2.0
    assert len(tracings) == 1
    assert made[0].name == "outer/inner/variable:0"
    assert float(made[0].assign(5.0)) == 5.0
    assert float(call(tf.constant(2.0))) == 10.0


def test_outside_of_graphs_context_variables_are_the_callers_and_errors_come_out():
    name, seen = contextvars.ContextVar("name", default="none"), []

    def function(x):
        name.set("the caller's")
        seen.append(outside_of_graphs(lambda: (tf.executing_eagerly(), name.get())))
        return x

    traced(function)(tf.constant(1.0))
    assert seen == [(True, "the caller's")]
    assert outside_of_graphs(tf.executing_eagerly)
    with pytest.raises(ZeroDivisionError):
        traced(lambda x: x * outside_of_graphs(lambda: 1 / 0))(tf.constant(1.0))
