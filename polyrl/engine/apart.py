"""`apart`: what leaves the memory full of gaps is done in a thread of its own.

XLA's compiler takes and gives back much memory in pieces of all sizes. glibc keeps the gaps in lists, and walks along these
when a call wants memory, from one gap far away to the next. Each thread has lists of its own: with those of another one full
of gaps, a step of C51 spends 7 microseconds on finding memory, and 50 with its own (`docs/where_time_goes.md`).
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns or raises; it is called in a thread that ends with it."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(contextvars.copy_context().run, function, *arguments).result()
