"""`traced`: TensorFlow does not count its tracings with those of other functions of the same code."""

from __future__ import annotations

import logging

import pytest
import tensorflow as tf

from polyrl.engine.tracing import traced


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
