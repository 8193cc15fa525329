"""Numbers as they come, written to TensorBoard."""

from __future__ import annotations

import math

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from polyrl.summaries import write_evaluation, write_scalars


def written(folder, tag):
    events = EventAccumulator(str(folder))
    events.Reload()
    (event,) = events.Tensors(tag)
    return event.step, float(tf.make_ndarray(event.tensor_proto))


@pytest.mark.parametrize(
    ("value", "expected"), [(1.5, 1.5), (3e38, 3e38), (5e38, math.inf), (-1e300, -math.inf), (10**300, math.inf)]
)
def test_a_number_beyond_float32_is_infinity(value, expected, tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    write_scalars(writer, 3, {"a/b": value})
    writer.close()
    assert written(tmp_path, "a/b") == (3, pytest.approx(expected, rel=1e-6))


def test_the_sums_of_an_evaluation_may_be_beyond_float32(tmp_path):
    write_evaluation(tf.summary.create_file_writer(str(tmp_path)), {"mean_reward": 5e38, "global_timestep": 7})
    assert written(tmp_path, "eval/mean_reward") == (7, math.inf)
