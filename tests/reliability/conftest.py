"""What the tests of whole processes share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def end_of_the_terminal() -> Iterator[None]:
    """Processes get SIGHUP as usual, also if the tests were started by `nohup`, which has all that follows ignore it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
