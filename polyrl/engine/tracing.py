"""How functions are traced: without TensorFlow's warnings of retracing, and without Python's garbage collector."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf


def traced(function: Callable[..., Any], **options: Any) -> Any:
    """`tf.function(function, autograph=False, **options)`, whose tracings TensorFlow counts by themselves.

    TensorFlow counts tracings by a function's code, so that it would warn of retracing when five agents have traced the same
    method once each. A partial has no code: it is counted as the one object that it is.
    """
    return tf.function(functools.partial(function), autograph=False, **options)


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """The garbage collector waits in it: while graphs are traced it would look at each of their objects many times."""
    if not gc.isenabled():  # Within another one, or by choice of the user.
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
