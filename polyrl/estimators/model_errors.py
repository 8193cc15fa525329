"""Errors in a user's `model_fn`: the traceback shows the user's lines, not the dozens of calls that led there."""

from __future__ import annotations

import contextlib
import dis
import functools
import itertools
import os
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar, cast

import tensorflow as tf
import tf_keras

from polyrl.validation import check_keywords, keyword_names

F = TypeVar("F", bound=Callable[..., Any])

_HERE = os.path.dirname(os.path.realpath(__file__))
_OURS = os.path.dirname(_HERE) + os.sep
_BELOW = tuple(os.path.dirname(os.path.realpath(str(module.__file__))) + os.sep for module in (tf, tf_keras))
_STANDARD = os.path.realpath(sysconfig.get_paths()["stdlib"]) + os.sep
_CALLERS = tuple(os.path.join(_HERE, name) for name in ("loops/learner.py", "prediction/rollout_calls.py", "model_fn.py"))
"""The files that call a `model_fn`."""


class UsersLines:
    """Inside of the `with` block, an error from a `model_fn` keeps only the user's own lines in its traceback.

    The error itself is what it was. `tf.debugging.disable_traceback_filtering()` keeps all lines.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, lines: TracebackType | None) -> None:
        short = _of_user(error, lines) if isinstance(error, Exception) else None
        if error is not None and short is not None:
            error.__traceback__ = short


def public(hints: Mapping[str, str]) -> Callable[[F], F]:
    """Decorates a method: errors leave it by way of `UsersLines`.

    A keyword argument that it does not have is a TypeError which says what to use instead, see `polyrl.validation.explains`.
    """

    def decorate(method: F) -> F:
        known = keyword_names(method)

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            owner = type(args[0]).__name__ if args else method.__qualname__.rpartition(".")[0]  # Of the class that users know.
            check_keywords(f"{owner}.{method.__name__}", kwargs, known, hints)
            with UsersLines():
                return method(*args, **kwargs)

        return cast(F, call)

    return decorate


def is_worded(error: BaseException) -> bool:
    """Whether polyrl, or the program that uses it, raised the error by a `raise`: its message then says all.

    Others come from inside of a library, or from a mistake in polyrl.
    """
    frames = _frames(error.__traceback__)
    return bool(frames) and _raises(frames[-1]) and not _file(frames[-1]).startswith(_BELOW)


def users_lines(error: BaseException) -> str:
    """The user's lines of an error from a `model_fn`, as a traceback shows them; empty for other errors."""
    if not getattr(error, "_from_model_fn", False):
        return ""
    frames = [(frame.tb_frame, frame.tb_lineno) for frame in _frames(error.__traceback__) if not _is_library(frame)]
    return "".join(traceback.StackSummary.extract(iter(frames)).format())


def _of_user(error: BaseException, lines: TracebackType | None) -> TracebackType | None:
    """The traceback without the libraries' frames; None if the error does not come from a `model_fn`."""
    frames = _frames(lines)
    # The `model_fn` may be polyrl's own, as of its command, and call the user's network.
    called = not all(map(_is_library, itertools.dropwhile(lambda frame: _file(frame) not in _CALLERS, frames)))
    if not (called or getattr(error, "_from_model_fn", False)) or not tf.debugging.is_traceback_filtering_enabled():
        return None
    with contextlib.suppress(AttributeError):
        error._from_model_fn = True  # type: ignore[attr-defined]  # An outer block leaves the callers out, too.
    last = frames[-1]
    worded = _raises(last) and _file(last).startswith(_OURS)
    kept = [frame for frame in frames if not _is_library(frame) or (frame is last and worded)]
    chain: TracebackType | None = None
    for frame in reversed(kept):
        chain = TracebackType(chain, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return chain


def _frames(lines: TracebackType | None) -> list[TracebackType]:
    frames = []
    while lines is not None:
        frames.append(lines)
        lines = lines.tb_next
    return frames


def _is_library(frame: TracebackType) -> bool:
    """Whether it belongs to polyrl, to what lies below it, or to Python itself."""
    file = _file(frame)
    return file.startswith((_OURS, *_BELOW)) or (file.startswith(_STANDARD) and "-packages" not in file)


def _file(frame: TracebackType) -> str:
    return os.path.realpath(frame.tb_frame.f_code.co_filename)


def _raises(frame: TracebackType) -> bool:
    """Whether the frame was left by a `raise`, and not by an operation or a call that failed."""
    instructions = dis.get_instructions(frame.tb_frame.f_code)
    return any(i.offset == frame.tb_lasti and i.opname == "RAISE_VARARGS" for i in instructions)
