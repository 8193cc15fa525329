"""What other processes raised, in few words: Ray puts all that it knows into its messages."""

from __future__ import annotations

import itertools
import re

NEVER_BEGAN = "creation task"
"""In Ray's words for the death of a process whose constructor raised something."""

FRAME, ERROR = re.compile(r'\s*File ".+", line \d+'), re.compile(r"[\w.]+(Error|Exception)\b")

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def raised(error: BaseException) -> str:
    """The type and the message of what was raised, without the frames of the other process."""
    cause = getattr(error, "cause", error)
    is_plain = isinstance(cause, Exception) and not hasattr(cause, "cause_cls") and COLOUR.search(str(cause)) is None
    return f"{type(cause).__name__}: {cause}" if is_plain else last_raised(error)


def last_raised(error: BaseException) -> str:
    """The same by the text alone, in which frames stand above what was raised."""
    lines = COLOUR.sub("", str(error)).strip().splitlines() or [type(error).__name__]
    frames = [number for number, line in enumerate(lines) if FRAME.match(line)]
    if frames:
        after = lines[frames[-1] + 1 :]
        lines = list(itertools.dropwhile(lambda line: line.startswith(" "), after)) or lines[-1:]
    begins = [number for number, line in enumerate(lines) if ERROR.match(line)]
    return "\n".join(lines[begins[-1] :] if begins else lines if frames else lines[-1:])


def first_line(error: BaseException) -> str:
    """The first sentence of an error's message."""
    error = getattr(error, "cause", None) or error  # Without the frames of the other process.
    return (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0]


def never_began(error: BaseException) -> bool:
    """Whether a process died as its constructor raised something."""
    return NEVER_BEGAN in str(error)
