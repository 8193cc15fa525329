"""`Compiler`: how calls are compiled, kept, and done without XLA where it fails.

An update of a small network takes 58 microseconds in a call with XLA, and 98 without (`scripts/benchmarks/engine.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import tensorflow as tf

from polyrl.engine.apart import apart
from polyrl.engine.carried import CarriedState
from polyrl.engine.direct_call import direct_call
from polyrl.engine.functional import NotFunctionalError
from polyrl.engine.tracing import traced
from polyrl.engine.xla import XLA_ERRORS, has_room, reason

logger = logging.getLogger("polyrl")

Call = Callable[..., list[tf.Tensor]]


class Compiler:
    """Compiles functions of tensors that read and assign variables, each once, under a name.

    Without XLA they are traced and work on the variables. With XLA they work on the variables' carried values, see
    `CarriedState`: the variables are out of date after a call until `write_back`. What XLA cannot compile makes all calls
    continue without it, from the same values, with a warning.

    Args:
        tell: shows a line: compiling takes some seconds.

    Attributes:
        seconds: how long XLA has taken to compile so far.
    """

    def __init__(self, tell: Callable[[str], None] = logger.info) -> None:
        self._tell = tell
        self.seconds = 0.0
        self._state: CarriedState | None = None
        self._started: tuple[bool, list[tf.Module], Any] | None = None
        self._calls: dict[Hashable, Call] = {}
        self._new: dict[Hashable, Any] = {}

    @property
    def xla(self) -> bool:
        """Whether calls are compiled by XLA."""
        return self._state is not None

    def start(self, roots: Sequence[tf.Module], probe: Callable[[], Any], jit: bool, form: Any = None) -> None:
        """Gets ready for calls, with XLA if `jit`. What was compiled for the same roots, `jit` and form is kept.

        Args:
            roots: modules whose variables the calls read and assign. All variables exist, and are up to date.
            probe: code as the calls will do it, traced to find out how the variables are used.
            jit: whether to compile with XLA.
            form: what the calls depend on in addition to their names, as the specs of their inputs.
        """
        started = (jit, list(roots), form)
        if self._started == started:
            self.load()
            return
        self.forget()
        self._started = started
        if jit and has_room():
            try:
                self._state = CarriedState(roots, probe)
            except NotFunctionalError as error:
                self._leave_xla(error)

    def call(self, name: Hashable, build: Callable[[], tuple[Call, Sequence[tf.TensorSpec]]]) -> Call:
        """The compiled call of this name; look it up for each use, as it is replaced by faster ones and by a fallback.

        Args:
            name: the same name stands for the same function and specs.
            build: at the first use gives what is compiled: a function of tensors that returns a list of tensors, and the specs
                of its arguments.
        """
        call = self._calls.get(name)
        if call is not None:
            return call
        if name in self._new:
            # Its first call has traced it, with no frame of this module on the stack. From now on it needs no more checks.
            self._calls[name] = direct_call(self._new.pop(name).get_concrete_function())
            return self._calls[name]
        call = self._compile(name, *build())
        if name not in self._new:
            self._calls[name] = call
        return call

    def load(self) -> None:
        """Takes the variables' values, after code outside a compiled call has assigned them."""
        if self._state is not None:
            self._state.load()

    def write_back(self) -> None:
        """Brings the variables up to date."""
        if self._state is not None:
            self._state.write_back()

    def forget(self) -> None:
        """Drops all that was compiled, and values that were not written back."""
        self._state, self._started = None, None
        self._calls.clear()
        self._new.clear()

    def _compile(self, name: Hashable, function: Call, specs: Sequence[tf.TensorSpec]) -> Call:
        if self._state is None:
            self._new[name] = traced(function, input_signature=specs)
            return self._new[name]
        self._tell("Compiling the training loop with XLA; this takes some seconds.")
        started = time.monotonic()
        try:
            compiled = self._state.compile(function, specs)
        except NotFunctionalError as error:
            self._leave_xla(error)
            return self._once_with_copies(name, function, specs)

        def first(*inputs: tf.Tensor) -> list[tf.Tensor]:
            if self._calls.get(name) is not first:  # Somebody has kept it.
                return self.call(name, lambda: (function, specs))(*inputs)
            try:
                outputs = apart(compiled, *inputs)  # XLA compiles at the first call, before it changes anything.
            except XLA_ERRORS as error:
                self._leave_xla(error)
                return self._once_with_copies(name, function, specs)(*inputs)
            self.seconds += time.monotonic() - started
            self._tell(f"Compiled in {time.monotonic() - started:.1f} s.")
            self._calls[name] = compiled
            return outputs

        return first

    def _once_with_copies(self, name: Hashable, function: Call, specs: Sequence[tf.TensorSpec]) -> Call:
        """The call, for inputs that were made for XLA.

        XLA keeps none of them, so that they may lie in buffers that are written again. Without XLA a variable that is assigned
        an input may share its memory.
        """

        def call(*inputs: tf.Tensor) -> list[tf.Tensor]:
            if self._calls.get(name) is call:
                del self._calls[name]
            return self.call(name, lambda: (function, specs))(*(tf.constant(value.numpy()) for value in inputs))

        return call

    def _leave_xla(self, error: Exception) -> None:
        """Continues on the variables themselves, brought up to date."""
        logger.warning("XLA cannot compile the training loop, which continues without it, slower: %s", reason(error))
        self.write_back()
        self._state = None
        self._calls.clear()
        self._new.clear()
