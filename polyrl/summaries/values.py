"""Summary values: plain tensors that a compiled function returns, and that are written to TensorBoard outside of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf
from tensorboard.plugins.image.metadata import create_summary_metadata

from polyrl.summaries.descriptions import description
from polyrl.summaries.writing import write_histograms, write_scalars


class Summaries(NamedTuple):
    """Tensors by TensorBoard tag: scalars `[]`, histograms of any shape, images `[k, h, w, c]`."""

    scalars: dict[str, tf.Tensor]
    histograms: dict[str, tf.Tensor]
    images: dict[str, tf.Tensor]

    @classmethod
    def empty(cls) -> Summaries:
        """Nothing to show."""
        return cls({}, {}, {})

    def with_prefix(self, name: str) -> Summaries:
        """The same values, with the prefix `<name>/` on each tag."""
        return Summaries(*({f"{name}/{tag}": value for tag, value in group.items()} for group in self))

    def numbers(self) -> dict[str, float]:
        """The scalars as numbers of Python's."""
        return {tag: float(value) for tag, value in self.scalars.items()}

    def write(self, writer: tf.summary.SummaryWriter, step: int) -> None:
        """Writes everything at `step` (`global_timestep`, environment steps)."""
        write_scalars(writer, step, self.numbers())
        self.write_large(writer, step)

    def write_large(self, writer: tf.summary.SummaryWriter, step: int) -> None:
        """Writes all but the scalars."""
        write_histograms(writer, step, self.histograms)
        with writer.as_default(step=step):
            for tag, value in self.images.items():
                tf.summary.image(tag, value, description=description(tag))


def write_evaluation(writer: tf.summary.SummaryWriter, result: Mapping[str, float]) -> None:
    """Writes the result of an evaluation under `eval/`, at its `global_timestep`; without counters and number of episodes."""
    values = {f"eval/{name}": value for name, value in result.items() if not re.match("global_|episodes$", name)}
    write_scalars(writer, int(result["global_timestep"]), values)
    writer.flush()


def write_animation(writer: tf.summary.SummaryWriter, tag: str, gif: bytes, width: int, height: int, step: int) -> None:
    """Writes an animated GIF as an image of TensorBoard, which shows the bytes as they are."""
    with writer.as_default(step=step):
        content = tf.constant([str(width).encode(), str(height).encode(), gif])
        tf.summary.write(tag, content, metadata=create_summary_metadata(display_name=None, description=description(tag)))
    writer.flush()
