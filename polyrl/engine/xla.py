"""What XLA compiles if it can, and what happens where it cannot: the same function continues as a plain graph.

XLA makes one kernel of many small operations: the action of a small network with atoms takes 98 microseconds instead of 126
(`scripts/benchmarks/engine.py`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from polyrl.engine.apart import apart
from polyrl.engine.tracing import traced

logger = logging.getLogger("polyrl")

XLA_ERRORS = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)
"""What a call raises that XLA cannot compile."""

MAPPINGS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
"""Where Linux lists the memory mappings of a process, and how many it may have."""

_UNSUPPORTED = re.compile(r"Detected unsupported operations.*?: (\w+) \(")


def reason(error: Exception) -> str:
    """What XLA could not compile, in one line; TensorFlow's message begins with hundreds of characters on its options."""
    message = str(error).strip()
    unsupported = _UNSUPPORTED.match(message)
    return f"it does not support the operation {unsupported[1]}" if unsupported else message.splitlines()[0]


def has_room() -> bool:
    """Whether the process has room for more compiled code; says so if it has not.

    TensorFlow keeps what XLA has compiled until the process ends, some 10 to 200 memory mappings for each call. At the limit
    of mappings, about 65,000 on Linux, the process would be aborted.
    """
    try:
        held, limit = MAPPINGS[0].read_bytes().count(b"\n"), int(MAPPINGS[1].read_bytes())
    except (OSError, ValueError):
        return True
    if held < 0.9 * limit:
        return True
    logger.warning(
        "This process holds %s of the %s memory mappings that it may have, most of them of what XLA has compiled; what "
        "comes now runs without XLA: slower, and a run that is resumed so is not bit for bit the one with XLA. Start a new "
        "process for each of many runs, or raise vm.max_map_count.",
        f"{held:,}",
        f"{limit:,}",
    )
    return False


class Xla:
    """Whether the calls of one kind are compiled by XLA. Once one of them cannot be, none is, with one warning.

    Args:
        jit: whether they are, to begin with.
        what: what the warning calls them, as `"the model's predictions"`.
    """

    def __init__(self, jit: bool, what: str):
        self.jit, self._what = jit and has_room(), what

    def leave(self, error: Exception) -> None:
        """Continues without XLA."""
        self.jit = False
        logger.warning("XLA cannot compile %s, which continue without it, slower: %s.", self._what, reason(error).rstrip("."))


class XlaCall:
    """A function of nests of tensors, compiled as `xla` says.

    Args:
        function: what is compiled. It must change nothing before XLA has compiled it, which is so if it is traced code alone.
        xla: shared by the calls of one kind.
    """

    def __init__(self, function: Callable[..., Any], xla: Xla):
        self._function, self._xla = function, xla
        self._specs: tuple[Any, ...] | None = None
        self._traced: Any = None
        self._calls: Any = None
        self._compiled = False
        self._new()

    def trace(self, *specs: Any) -> None:
        """Traces it for arguments of such specs, if it has not been, and creates its variables; calls go there from now on."""
        try:
            self._specs, self._traced = specs, self._calls.get_concrete_function(*specs)
        except Exception:
            self._new()  # TensorFlow cannot trace a function again whose first trace failed.
            raise

    @property
    def outputs(self) -> Any:
        """The specs of what it returns, once it has been traced."""
        return self._traced.structured_outputs

    def __call__(self, *arguments: Any) -> Any:
        tensors = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        if self._jit and not self._xla.jit:
            return self._without_xla(tensors)
        call = self._calls if self._traced is None else self._traced
        try:
            if self._compiled or not self._jit or tf.inside_function():
                return call(*tensors)
            outputs = apart(call, *tensors)
        except XLA_ERRORS as error:
            if not self._jit:
                raise
            self._xla.leave(error)
            return self._without_xla(tensors)
        self._compiled = True
        return outputs

    def _without_xla(self, tensors: Any) -> Any:
        self._new()
        if self._specs is not None:
            self.trace(*self._specs)
        return self(*tensors)

    def _new(self) -> None:
        self._jit, self._traced, self._compiled = self._xla.jit, None, False
        self._calls = traced(self._function, jit_compile=self._jit)
