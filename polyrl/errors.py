"""Exceptions for users to catch, where a builtin type would not be specific enough; and what those of TensorFlow say."""

from __future__ import annotations

import re


class NotTrainedError(ValueError):
    """The `model_dir` has no checkpoint to evaluate or predict with."""


class CheckpointMismatchError(ValueError):
    """The variables in a checkpoint do not match those of the model that reads it."""


class DamagedCheckpointError(ValueError):
    """A file of a checkpoint is missing, or is not what was written."""


class CheckpointWriteError(OSError):
    """A checkpoint cannot be written: the disk is full, or read-only. Those before it are as they were."""


class NonFiniteError(ArithmeticError):
    """A NaN or infinity in an observation, a reward or a loss; training stops before it reaches the weights."""


def gist(error: BaseException) -> str:
    """What an error of TensorFlow says, in a line: without the layer it was in, the names of nodes, and what follows."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception encountered when")]
    line = re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*", "", (lines or [""])[0])
    return line.strip()[:200]
