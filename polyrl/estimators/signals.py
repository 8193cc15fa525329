"""How a signal ends a training run."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def interruptible(interrupted: Callable[[int], None]) -> Iterator[None]:
    """Within it, the first SIGINT or SIGTERM only calls `interrupted(number)`; a second one ends the program at once.

    Python handles signals in the main thread alone; in another one this does nothing.

    Args:
        interrupted: shall see to it that the run ends after its iteration, with a checkpoint.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        interrupted(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
