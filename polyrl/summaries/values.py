"""Summary values: plain tensors that a compiled function returns, and that are written to TensorBoard outside of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Summaries(NamedTuple):
    """Tensors by TensorBoard tag: scalars `[]`, histograms of any shape, images `[k, h, w, c]`."""

    scalars: dict[str, tf.Tensor]
    histograms: dict[str, tf.Tensor]
    images: dict[str, tf.Tensor]

    @classmethod
    def empty(cls) -> Summaries:
        return cls({}, {}, {})

    def with_prefix(self, name: str) -> Summaries:
        """The same values, with the prefix `<name>/` on each tag."""
        return Summaries(*({f"{name}/{tag}": value for tag, value in group.items()} for group in self))

    def write(self, writer: tf.summary.SummaryWriter, step: int) -> None:
        """Writes everything at `step` (`global_timestep`, environment steps)."""
        with writer.as_default(step=step):
            for tag, value in self.scalars.items():
                tf.summary.scalar(tag, value)
            for tag, value in self.histograms.items():
                tf.summary.histogram(tag, value)
            for tag, value in self.images.items():
                tf.summary.image(tag, value)


def write_scalar(tag: str, value: float) -> None:
    """Writes a number of Python's to the default writer; one beyond float32, as a sum of great rewards may be, as infinity."""
    with np.errstate(over="ignore"):
        tf.summary.scalar(tag, np.float32(value))


def write_evaluation(writer: tf.summary.SummaryWriter, result: Mapping[str, float]) -> None:
    """Writes the result of an evaluation under `eval/`, at its `global_timestep`; the counters are not written."""
    with writer.as_default(step=int(result["global_timestep"])):
        for name, value in result.items():
            if not name.startswith("global_"):
                write_scalar(f"eval/{name}", value)
    writer.flush()
