"""`PanelCalls`: what a model's panels show of an update that has been done."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import tensorflow as tf

from polyrl.engine.tracing import traced
from polyrl.replay import Replay
from polyrl.summaries import Summaries


class Snapshot(NamedTuple):
    """Values of variables, and how long it took to read them."""

    values: list[tf.Tensor]
    seconds: float


class PanelCalls:
    """Computes summaries with the variables as they were before the update, and puts them back.

    Not compiled: once in some hundred steps is not worth the seconds that XLA takes. Each part is one call, as a call for each
    of the variables would take three times as long.

    Args:
        summaries: the traced function from what was drawn from the memory to the summaries.
        memory: is read, and not put back: an update does not change what it drew.
    """

    def __init__(self, summaries: Any, memory: Replay):
        stored = {variable.ref() for variable in memory.variables}
        self._variables = [variable for variable in summaries.variables if variable.ref() not in stored]
        values = [tf.TensorSpec(variable.shape, variable.dtype) for variable in self._variables]

        def show(before: list[tf.Tensor], now: list[tf.Tensor], drawn: dict[str, tf.Tensor]) -> Summaries:
            self._assign(before)
            shown = summaries(drawn)
            self._assign(now)
            return shown

        self._read = traced(lambda: [variable.read_value() for variable in self._variables]).get_concrete_function()
        self._show = traced(show).get_concrete_function(values, values, dict(memory.drawn_specs))

    def read(self) -> Snapshot:
        """The values that the summaries depend on, but the memory."""
        started = time.monotonic()
        return Snapshot(self._read(), time.monotonic() - started)

    def show(self, before: Snapshot, drawn: dict[str, Any]) -> Summaries:
        """The summaries.

        Args:
            before: what `read` gave before the update.
            drawn: what the update drew.
        """
        now = self._read()
        try:
            return self._show(before.values, now, {name: tf.constant(values) for name, values in drawn.items()})
        except BaseException:
            self._assign(now)
            raise

    def _assign(self, values: list[tf.Tensor]) -> None:
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)
