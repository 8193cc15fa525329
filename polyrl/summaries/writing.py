"""Writes numbers and histograms to TensorBoard, many at once: an operation of TensorFlow for each takes ten times as long."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from polyrl.summaries.descriptions import description


def write_scalars(writer: tf.summary.SummaryWriter, step: int, values: Mapping[str, Any]) -> None:
    """Writes numbers by their tags; those beyond float32, as a sum of great rewards may be, as infinity."""
    summary = Summary()
    with np.errstate(over="ignore"):
        for tag, value in values.items():
            summary.MergeFrom(_zero(tag))
            summary.value[-1].tensor.float_val[:] = [np.float32(value)]
    write_message(writer, step, summary)


@functools.lru_cache(maxsize=1_000)
def _zero(tag: str) -> Summary:
    """A summary with a 0 of this tag; to make one takes longer than to copy it."""
    return scalar_pb(tag, np.float32(0.0), description(tag))


def write_histograms(writer: tf.summary.SummaryWriter, step: int, values: Mapping[str, Any]) -> None:
    """Writes the histograms of arrays of any shape by their tags; a value that is not finite is left out."""
    arrays = {tag: np.asarray(value, np.float64) for tag, value in values.items()}
    finite = {tag: array[np.isfinite(array)] for tag, array in arrays.items()}
    _write(writer, step, [histogram_pb(tag, array, description=description(tag)) for tag, array in finite.items()])


def write_message(writer: tf.summary.SummaryWriter, step: int, message: Any) -> None:
    """Writes a summary as a plugin of TensorBoard makes it."""
    with writer.as_default(step=step):
        tf.summary.experimental.write_raw_pb(message.SerializeToString())


def _write(writer: tf.summary.SummaryWriter, step: int, parts: list[Summary]) -> None:
    together = Summary()
    for part in parts:
        together.MergeFrom(part)
    write_message(writer, step, together)
