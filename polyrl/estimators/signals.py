"""How a signal ends a training run."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

ENDINGS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals that end a run, where the system has them."""

PATIENCE = 5.0
"""Seconds after which a call of an environment that is still running is abandoned."""

ECHO = 0.5
"""Seconds within which further signals are the first one again: a program that passes it on, and the group it goes to."""


class RunInterrupted(KeyboardInterrupt):
    """Raised to abandon the current step, because a signal requested a stop; the run then saves and ends."""


@contextlib.contextmanager
def interruptible(interrupted: Callable[[int], None], may_leave: Callable[[FrameType | None, bool], bool]) -> Iterator[None]:
    """Within it, the first signal of `ENDINGS` only calls `interrupted(number)`.

    If an environment does not come back within `PATIENCE` seconds from then, a `RunInterrupted` is raised there. A second
    signal raises a KeyboardInterrupt: at once if what is running may be left, and else at the end. A third one raises it
    wherever it arrives.

    SIGHUP is left alone where it is ignored, for example under `nohup`. Python handles signals in the main thread alone; in
    another one this does nothing.

    Args:
        interrupted: shall see to it that the run ends after its iteration, with a checkpoint.
        may_leave: whether code may be left at once, by its frame; the flag is whether for the first signal only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = _Handler(interrupted, may_leave)
    numbers = [getattr(signal, name) for name in ENDINGS if hasattr(signal, name)]
    hang_up = getattr(signal, "SIGHUP", None)
    before = {
        number: signal.signal(number, handler)
        for number in numbers
        if number != hang_up or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        handler.ended.set()
        for number, action in before.items():
            signal.signal(number, action)
    if handler.put_off:
        raise KeyboardInterrupt("a second signal; the run was saved before")


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within it a signal of `ENDINGS` ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ENDINGS if hasattr(signal, name)]
    # None: a handler that is not Python's, which could not be set again.
    heard = [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in heard}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """After it signals of `ENDINGS` are answered as before, whatever a library within it made of that.

    A handler of such a library that exits by the bare number of the signal, within it, exits by 128 more, as shells have it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ENDINGS if hasattr(signal, name)]
    before = {number: action for number in numbers if (action := signal.getsignal(number)) is not None}
    try:
        yield
    except SystemExit as ended:
        if isinstance(ended.code, int) and ended.code in numbers:
            raise SystemExit(128 + ended.code) from None
        raise
    finally:
        for number, action in before.items():
            signal.signal(number, action)  # Also where it looks the same: one of C is not seen from Python.


class _Handler:
    """State shared by the handlers of all signals.

    Attributes:
        ended: set when there is nothing left to interrupt.
        put_off: whether a second signal came, and had to wait for the end of the run.
    """

    def __init__(self, interrupted: Callable[[int], None], may_leave: Callable[[FrameType | None, bool], bool]):
        self._interrupted, self._may_leave = interrupted, may_leave
        self._first: float | None = None
        self._second = self._insists = self.put_off = False
        self.ended = threading.Event()
        self._terminals = [file for file in (1, 2) if _is_terminal(file)]

    def __call__(self, number: int, frame: Any) -> None:
        if self._insists:
            self._insists = False
            if self._may_leave(frame, True):
                raise RunInterrupted
        elif self._first is None:
            self._first = time.monotonic()
            for file in self._terminals:
                _write_to_nowhere_if_gone(file)
            self._interrupted(number)
            if hasattr(signal, "pthread_kill"):
                threading.Thread(target=self._insist, args=(number,), name="signals", daemon=True).start()
        elif self._second:
            raise KeyboardInterrupt
        elif time.monotonic() - self._first >= ECHO:
            self._second = True
            if self._may_leave(frame, False):
                raise KeyboardInterrupt
            self.put_off = True

    def _insist(self, number: int) -> None:
        """Sends the main thread the signal again: it interrupts a system call, and the handler looks where that was."""
        while not self.ended.wait(PATIENCE):
            self._insists = True
            signal.pthread_kill(threading.main_thread().ident or 0, number)


def _is_terminal(file: int) -> bool:
    try:
        return os.isatty(file)
    except OSError:
        return False


def _write_to_nowhere_if_gone(file: int) -> None:
    """Lets what is written to a terminal that was closed vanish: it would be an error wherever the run says something."""
    try:
        os.write(file, b"")
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file)
        os.close(nowhere)
