"""How functions are traced: once, and without TensorFlow's warnings of retracing."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import tensorflow as tf

T = TypeVar("T")


def traced(function: Callable[..., Any], **options: Any) -> Any:
    """`tf.function(function, autograph=False, **options)`, whose tracings TensorFlow counts by themselves.

    TensorFlow counts tracings by a function's code, so that it would warn of retracing when five agents have traced the same
    method once each. A partial has no code: it is counted as the one object that it is.
    """
    return tf.function(functools.partial(function), autograph=False, **options)


def outside_of_graphs(build: Callable[[], T]) -> T:
    """What `build()` returns, called eagerly also where a function is being traced, with the same name scope.

    `tf.init_scope` leaves the graph, but not its creators of variables: by these `tf.function` sees that its first tracing has
    made variables, and traces all of it once more. Another thread has none of them.
    """
    if not tf.inside_function():
        return build()
    scope = tf.get_current_name_scope()

    def build_in_scope() -> T:
        with tf.name_scope(f"{scope}/") if scope else contextlib.nullcontext():
            return build()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(contextvars.copy_context().run, build_in_scope).result()
