"""`traced`: `tf.function` for functions that are made many times in a process, as by each agent of a sweep.

It buys no time: it spares the user TensorFlow's warnings of retracing, of which a sweep of five agents shows some.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def traced(function: Callable[..., Any], **options: Any) -> Any:
    """`tf.function(function, autograph=False, **options)`, whose tracings TensorFlow counts by themselves.

    TensorFlow counts tracings by a function's code, so that it would warn of retracing when five agents have traced the same
    method once each. A partial has no code: it is counted as the one object that it is.
    """
    return tf.function(functools.partial(function), autograph=False, **options)
