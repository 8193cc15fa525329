"""The TensorBoard files of a model_dir, one for each run in it, and how a resumed run supersedes what came after."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

SUFFIX = ".training"
"""Ends the names of the files that training writes: a resumed run truncates these alone."""


class EventFiles:
    """Writers by the names of their TensorBoard runs, which are directories below `model_dir`; `""` is itself.

    Args:
        model_dir: of the agent.
        training: whether they are written by training, and so belong to its checkpoints.
    """

    def __init__(self, model_dir: Path, training: bool):
        self._model_dir, self._training = model_dir, training
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def writer(self, run: str) -> tf.summary.SummaryWriter:
        """The writer of a run, always the same one: TensorBoard follows one file in a directory."""
        if run not in self._writers:
            suffix = f".v2{SUFFIX}" if self._training else None
            self._writers[run] = tf.summary.create_file_writer(str(self._model_dir / run), filename_suffix=suffix)
        return self._writers[run]

    def sizes(self) -> dict[str, int]:
        """The bytes of each file that training has written so far, by its path below `model_dir`."""
        for writer in self._writers.values():
            writer.flush()
        return {str(file.relative_to(self._model_dir)): file.stat().st_size for file in self._files()}

    def truncate(self, sizes: Mapping[str, int]) -> None:
        """Removes what training has written after a checkpoint, which a resumed run writes again.

        Args:
            sizes: of the files at the checkpoint; files that were not there then are removed.
        """
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
        for file in self._files():
            size = sizes.get(str(file.relative_to(self._model_dir)))
            if size is None:
                file.unlink()
            elif file.stat().st_size > size:
                os.truncate(file, size)

    def _files(self) -> list[Path]:
        return sorted(self._model_dir.rglob(f"events.out.tfevents.*{SUFFIX}"))
