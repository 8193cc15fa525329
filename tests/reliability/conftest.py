"""What the tests of whole processes share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def signals_that_are_not_ignored() -> Iterator[None]:
    """Processes get signals as usual, also if the tests were started by `nohup` or in a shell's background: what is started
    there ignores SIGHUP or SIGINT.
    """
    ignored = [each for each in (signal.SIGHUP, signal.SIGINT) if signal.getsignal(each) == signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
