"""The TensorBoard files of a model_dir, one for each run in it, and how a resumed run supersedes what came after."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import tensorflow as tf

from polyrl.errors import gist
from polyrl.estimators.overwriting import REPLACED

logger = logging.getLogger("polyrl")

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
        with self.tolerating_a_full_disk():
            for writer in self._writers.values():
                writer.flush()
        return {str(file.relative_to(self._model_dir)): file.stat().st_size for file in self._files()}

    def truncate(self, sizes: Mapping[str, int]) -> None:
        """Removes what training has written after a checkpoint, which a resumed run writes again.

        Args:
            sizes: of the files at the checkpoint; files that were not there then are removed.
        """
        self._close()
        short = [name for name, size in sizes.items() if not _has(self._model_dir / name, size)]
        if short:
            logger.warning(
                "TensorBoard's files are shorter than when the checkpoint was written, or gone, and points are missing: %s.",
                ", ".join(short),
            )
        for file in self._files():
            size = sizes.get(str(file.relative_to(self._model_dir)))
            if size is None:
                file.unlink()
            elif file.stat().st_size > size:
                os.truncate(file, size)

    @contextlib.contextmanager
    def tolerating_a_full_disk(self) -> Iterator[None]:
        """Inside of the `with` block, what the disk does not take is left out of TensorBoard, with a warning."""
        try:
            yield
        except tf.errors.OpError as error:
            if not self.cannot_write(error):
                raise

    def cannot_write(self, error: tf.errors.OpError) -> bool:
        """Whether an error is that of a writer, as of a full disk: then a warning says so, and new files are begun next."""
        if not re.search(r"(Create|Write|Flush|Close)\w*Summary", str(error)):
            return False
        self._close()  # What is at the end of the present files may be half a record.
        logger.warning(
            "TensorBoard's files in %s cannot be written: %s. What was to be shown now is lost; the run continues.",
            self._model_dir,
            gist(error),
        )
        return True

    def _close(self) -> None:
        for writer in self._writers.values():
            with contextlib.suppress(tf.errors.OpError):
                writer.close()
        self._writers.clear()

    def _files(self) -> list[Path]:
        """Those of this run; a run that was set aside, and one in a directory below, have their own."""
        found = []
        for place, directories, files in os.walk(self._model_dir):
            directories[:] = [name for name in directories if not _is_of_another_run(Path(place, name))]
            found += [Path(place, name) for name in files if name.startswith("events.out.tfevents.") and name.endswith(SUFFIX)]
        return sorted(found)


def _is_of_another_run(directory: Path) -> bool:
    owned = any((directory / name).exists() for name in ("params.json", "checkpoints", "best"))
    return owned or directory.name.startswith(REPLACED)


def _has(file: Path, size: int) -> bool:
    """Whether a file has at least so many bytes."""
    try:
        return file.stat().st_size >= size
    except OSError:
        return False
