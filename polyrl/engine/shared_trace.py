"""`SharedTrace`: a function that is traced once for all graphs that call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from polyrl.engine import functional


class SharedTrace:
    """A function that was traced already: graphs call what this made, in place of tracing the function again.

    To trace an update of a model takes some tenths of a second, and a run needs it in several graphs. Eagerly, or where
    variables have stand-ins (see `functional`), the function itself is called.

    Args:
        function: of tensors.
        concrete: the same, traced for the specs of its arguments.
    """

    def __init__(self, function: Callable[..., Any], concrete: Any):
        self._function = function
        self._concrete = concrete

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns for these arguments."""
        shared = tf.inside_function() and not functional.active()
        return (self._concrete if shared else self._function)(*arguments)
