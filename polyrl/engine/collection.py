"""Has Python's garbage collector wait while many objects are made that all stay: it would look at each of them many times."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collection(then_old: bool = False) -> Iterator[None]:
    """The garbage collector waits in it. TensorFlow's import takes 1.8 seconds in place of 2.3, and graphs are traced faster.

    Args:
        then_old: whether what there is counts as old then. Of itself the collector would look at all that is new three times
            before it takes it for what stays; to look at it once takes 0.1 to 0.3 seconds.
    """
    if not gc.isenabled():  # Within another one, or by choice of the user.
        yield
        return
    gc.disable()
    try:
        yield
        if then_old and not gc.get_freeze_count():  # What the user has frozen stays so.
            gc.freeze()
            gc.unfreeze()  # Into the oldest generation.
    finally:
        gc.enable()
