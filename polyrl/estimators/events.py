"""What a run shows of itself: TensorBoard's files and their like as text, and how a resumed run supersedes what came after."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.errors import gist
from polyrl.estimators.checkpoints.overwriting import REPLACED
from polyrl.summaries import write_evaluation, write_scalars
from polyrl.summaries.descriptions import description
from polyrl.summaries.pictures import distributions

logger = logging.getLogger("polyrl")

SUFFIX = ".training"
"""Ends the names of the files that training writes: a resumed run truncates these alone."""


METRICS, EVALUATIONS = "metrics.jsonl", "evaluations.csv"
"""What is in TensorBoard, for other programs: a line of JSON for each write of scalars, a row for each evaluation."""


class EventFiles:
    """Writers by the names of their TensorBoard runs, which are directories below `model_dir`; `""` is itself.

    Args:
        model_dir: of the agent.
        training: whether they are written by training, and so belong to its checkpoints.
    """

    def __init__(self, model_dir: Path, training: bool):
        self._model_dir, self._training = model_dir, training
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._told: set[str] = set()

    def writer(self, run: str) -> tf.summary.SummaryWriter:
        """The writer of a run, always the same one: TensorBoard follows one file in a directory."""
        if run not in self._writers:
            suffix = f".v2{SUFFIX}" if self._training else None
            self._writers[run] = tf.summary.create_file_writer(str(self._model_dir / run), filename_suffix=suffix)
        return self._writers[run]

    def write_scalars(self, values: Mapping[str, float], timestep: int, step: int) -> None:
        """Writes numbers of a training run by their tags, and a line of `metrics.jsonl`; before the first step at `step`.

        Raises:
            TypeError: for what is no number, with its tag.
        """
        plain = {tag: _number(tag, value) for tag, value in values.items()}
        write_scalars(self.writer(""), timestep or step, plain)
        shown = {tag: value if math.isfinite(value) else str(value) for tag, value in plain.items()}
        self._append(METRICS, json.dumps({"global_timestep": timestep, "global_step": step, **shown}) + "\n")

    def write_evaluation(self, run: str, result: Mapping[str, float]) -> None:
        """Writes the result of an evaluation to a TensorBoard run, and a line of `evaluations.csv` in its directory.

        In TensorBoard an evaluation of a checkpoint that comes to the same as an earlier one has no second point.
        """
        file = self._model_dir / run / EVALUATIONS
        names = sorted(result, key=lambda name: not name.startswith("global_"))
        before = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
        head = "" if before else ",".join(names) + "\n"
        names = before[0].rstrip("\n").split(",") if before else names
        row = ",".join(str(result.get(name, "")) for name in names) + "\n"
        if self._training or row not in before:
            with self.tolerating_a_full_disk():
                write_evaluation(self.writer(run), result)
        if self._training and run:  # The file there is that of evaluations of its checkpoints.
            return
        self._append(str(file.relative_to(self._model_dir)), head + row)

    def write_distributions(self, run: str, probabilities: np.ndarray, support: np.ndarray, step: float) -> None:
        """Writes return distributions `[B, N]` over a support `[N]` as pictures, at an environment step."""
        with self.tolerating_a_full_disk(), self.writer(run).as_default(step=int(step)):
            tag = "eval/return_distribution"
            said = f"{description(tag)}. The support is from {support[0]:g} on the left to {support[-1]:g} on the right."
            tf.summary.image(tag, distributions(probabilities, support), max_outputs=4, description=said)

    def _append(self, name: str, text: str) -> None:
        """Appends to a text file below `model_dir`; what the disk does not take is left out, with a warning."""
        try:
            with open(self._model_dir / name, "a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            told = f"{self._model_dir / name} cannot be written: {error}. The run continues."
            if told not in self._told:
                self._told.add(told)
                logger.warning("%s", told)

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
        texts = [self._model_dir / name for name in (METRICS, EVALUATIONS)]
        return sorted([*found, *(file for file in texts if file.exists())])


def _number(tag: str, value: Any) -> Any:
    """A number of Python's, as JSON takes it: also of one of NumPy's or TensorFlow's."""
    array = np.asarray(value)
    if array.ndim > 0 or array.dtype.kind not in "biuf":
        raise TypeError(f"write_scalars: {tag}={value!r} must be a number.")
    return array.item()


def _is_of_another_run(directory: Path) -> bool:
    owned = any((directory / name).exists() for name in ("params.json", "checkpoints", "best"))
    return owned or directory.name.startswith(REPLACED)


def _has(file: Path, size: int) -> bool:
    """Whether a file has at least so many bytes."""
    try:
        return file.stat().st_size >= size
    except OSError:
        return False
