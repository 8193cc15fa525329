"""`PanelCalls`: summaries of the time before an update, which leave everything as it is."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from polyrl.engine.tracing import traced
from polyrl.estimators.loops.panel_calls import PanelCalls
from polyrl.summaries import Summaries


@pytest.fixture
def made():
    """Calls, and the variables: a weight, a count, one of the memory."""
    weight, count, stored = tf.Variable([1.0, 2.0]), tf.Variable(3, dtype=tf.int64), tf.Variable(100.0)

    def build(drawn: dict[str, tf.Tensor]) -> Summaries:
        with tf.control_dependencies([tf.debugging.assert_equal(drawn["index"] < 0, False)]):
            value = tf.reduce_sum(weight) * tf.cast(count, tf.float32) + stored + tf.cast(drawn["index"], tf.float32)
        return Summaries({"a": value, "weight": weight[0]}, {}, {})

    memory = SimpleNamespace(drawn_specs={"index": tf.TensorSpec([], tf.int32)}, variables=[stored])
    return PanelCalls(traced(build).get_concrete_function(dict(memory.drawn_specs)), memory), weight, count, stored


def test_they_are_those_of_before_and_everything_stays_as_it_is(made):
    calls, weight, count, stored = made
    before = calls.read()
    weight.assign_add([10.0, 20.0])
    count.assign_add(1)
    stored.assign_add(5.0)
    shown = calls.show(before, {"index": np.int32(7)})
    assert float(shown.scalars["a"]) == (1 + 2) * 3 + 105 + 7  # The memory is read as it is now.
    assert float(shown.scalars["weight"]) == 1.0
    assert weight.numpy().tolist() == [11.0, 22.0]
    assert int(count.numpy()) == 4
    assert float(stored.numpy()) == 105.0
    assert before.seconds > 0


def test_after_an_error_everything_is_as_it_was(made):
    calls, weight, count, _ = made
    before = calls.read()
    weight.assign_add([10.0, 20.0])
    count.assign_add(1)
    with pytest.raises(tf.errors.InvalidArgumentError):
        calls.show(before, {"index": np.int32(-1)})
    assert weight.numpy().tolist() == [11.0, 22.0]
    assert int(count.numpy()) == 4
