"""Exceptions for users to catch, where a builtin type would not be specific enough; and what those of TensorFlow say."""

from __future__ import annotations

import logging
import re


class NotTrainedError(ValueError):
    """The `model_dir` has no checkpoint to evaluate or predict with."""


class CheckpointMismatchError(ValueError):
    """The variables in a checkpoint do not match those of the model that reads it."""


class DamagedCheckpointError(ValueError):
    """A file of a checkpoint is missing, or is not what was written."""


class CheckpointWriteError(OSError):
    """A checkpoint cannot be written: the disk is full, or read-only. Those before it are as they were."""


class UnansweredError(CheckpointWriteError):
    """A checkpoint cannot be written whole: a process that holds a part of the replay memory does not answer."""


class ModelDirInUseError(RuntimeError):
    """Another run trains in the `model_dir` now."""


class UnknownActionError(ValueError):
    """A model chose an action that the environment does not have."""


class NonFiniteError(ArithmeticError):
    """A NaN or infinity in an observation, a reward or a loss; training stops before it reaches the weights."""


class BrokenEnvironmentError(RuntimeError):
    """An environment in a process of its own raised an error, exited, was killed, or did not answer in time.

    Attributes:
        env: its number among those that step together.
        step: how many steps they had been told to take since they were opened; None while they are made.
        exit_status: of the process, if it exited.
        signal: the signal that killed the process, if one did.
    """

    def __init__(
        self,
        message: str,
        env: int | None = None,
        step: int | None = None,
        exit_status: int | None = None,
        signal: int | None = None,
    ):
        super().__init__(message)
        self.env, self.step, self.exit_status, self.signal = env, step, exit_status, signal


class LostWorkerError(RuntimeError):
    """A process that learned together with this one, by `strategy='multi_worker'`, is gone."""


def add_note(error: BaseException, note: str) -> None:
    """Adds a line that is shown below the error; before Python 3.11, which has no notes, polyrl's logger shows it."""
    if hasattr(error, "add_note"):
        error.add_note(note)
        return
    error.__notes__ = [*getattr(error, "__notes__", ()), note]  # type: ignore[attr-defined]
    logging.getLogger("polyrl").error("%s", note)


SYMBOLIC = "symbolic, they stand for numbers that are not known yet. Use operations of TensorFlow"
"""What is said of functions that take symbolic tensors for NumPy's arrays; the sentence continues."""


def raised_by(error: BaseException, *packages: str) -> bool:
    """Whether code of one of these packages raised an error, as `'tensorflow'`, and not the code that called it."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    module = "" if frame is None else str(frame.tb_frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] in packages


def gist(error: BaseException) -> str:
    """What an error of TensorFlow says, in a line: without the layer it was in, the names of nodes, and what follows."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception encountered when")]
    if lines and lines[0].startswith("in user code"):
        lines = [line for line in lines if re.match(r"\s*[\w.]*(Error|Exception)\b", line)][-1:] or lines
        lines = [re.sub(r"^\s*[\w.]*(Error|Exception): ", "", line) for line in lines]  # Who shows it names the type.
    line = re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*", "", (lines or [""])[0]).strip()
    return line if len(line) <= 200 else f"{line[:197].rstrip('. ')}..."
