"""`CarriedState`: a run's state as tensors in compiled calls, and in a few flat variables between them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from polyrl.engine.functional import Functional, NotFunctionalError
from polyrl.engine.layout import Layout

logger = logging.getLogger("polyrl")


class PlainState:
    """The state in its variables, read and assigned in place; calls are compiled without XLA."""

    def pull(self) -> None:
        """There is nothing to take over."""

    def push(self) -> None:
        """Nothing is ever behind."""

    def compile(self, function: Callable[..., Any], specs: Sequence[Any]) -> Callable[..., Any]:
        """Traces `function`, which returns a list of tensors."""
        return _runner(tf.function(function, autograph=False).get_concrete_function(*specs))


class CarriedState:
    """All variables below `roots`, as compiled calls keep them.

    Between two calls the small variables' values are in flat variables of this object, and stale in their own: `push` brings
    them home (before a checkpoint, an evaluation, summaries), `pull` takes them again. Large variables stay where they are.

    Args:
        roots: modules whose variables are the state; all of them exist already.
        function: an update; it is traced to find the variables that cannot be carried.

    Raises:
        NotFunctionalError: if the function assigns variables in a branch or a nested function.
    """

    def __init__(self, roots: Sequence[tf.Module], function: Callable[[], Any]):
        self._functional = Functional(roots)
        inner, _ = self._trace(function, [])
        direct = list(inner.variables)
        if direct:
            names = ", ".join(sorted(variable.name for variable in direct))
            logger.info("Read and assigned in place, which is slower, as layers keep them in a way of their own: %s", names)
            self._functional = Functional(roots, keep=direct)
        variables = self._functional.variables
        self._layout = Layout(variables)
        vectors = self._layout.specs[: self._layout.vectors]
        self._flat = [tf.Variable(tf.zeros(spec.shape, spec.dtype), trainable=False) for spec in vectors]
        self._held = [*self._flat, *(variables[index] for index in self._layout.alone)]
        self._pull = tf.function(self._build_pull, autograph=False)
        self._push = tf.function(self._build_push, autograph=False)
        self.pull()

    def pull(self) -> None:
        """Takes the variables' values over, after something else has assigned them."""
        self._pull()
        self._pushed = True

    def push(self) -> None:
        """Assigns the present values to the variables they belong to."""
        if not self._pushed:
            self._push()
        self._pushed = True

    def compile(self, function: Callable[..., Any], specs: Sequence[Any]) -> Callable[..., Any]:
        """Compiles `function`, which returns a list of tensors and may assign the variables, with XLA."""
        inner, changed = self._trace(function, specs)
        carried = {variable.ref() for variable in self._functional.variables}
        missed = [variable.name for variable in inner.variables if variable.ref() in carried]
        if missed:
            raise NotFunctionalError(f"model_fn uses variables when it acts in another way than when it learns: {missed}.")

        def call(*inputs: tf.Tensor) -> Any:
            held = [variable.read_value() for variable in self._held]
            values, outputs = inner(*self._layout.unpack(held), *inputs)
            for position, value in self._layout.update(held, dict(zip(changed, values, strict=True))).items():
                self._held[position].assign(value)
            return outputs

        compiled = _runner(tf.function(call, jit_compile=True, autograph=False).get_concrete_function(*specs))

        def run(*inputs: tf.Tensor) -> list[tf.Tensor]:
            self._pushed = False
            return compiled(*inputs)

        return run

    def _trace(self, function: Callable[..., Any], specs: Sequence[Any]) -> tuple[Any, list[int]]:
        """`function` as one from the variables' values and its inputs to the changed values and its outputs."""
        count = len(self._functional.variables)
        changed: list[int] = []

        def pure(*tensors: tf.Tensor) -> tuple[list[tf.Tensor], Any]:
            before = list(tensors[:count])
            with self._functional.given(before):
                outputs = function(*tensors[count:])
                after = self._functional.values()
            changed[:] = [index for index, (old, new) in enumerate(zip(before, after, strict=True)) if old is not new]
            return [after[index] for index in changed], outputs

        values = [tf.TensorSpec(variable.shape, variable.dtype) for variable in self._functional.variables]
        return tf.function(pure, autograph=False).get_concrete_function(*values, *specs), changed

    def _build_pull(self) -> None:
        values = {
            index: variable.read_value()
            for index, variable in enumerate(self._functional.variables)
            if index not in self._layout.alone
        }
        for position, value in self._layout.update([flat.read_value() for flat in self._flat], values).items():
            self._flat[position].assign(value)

    def _build_push(self) -> None:
        values = self._layout.unpack([variable.read_value() for variable in self._held])
        for index, variable in enumerate(self._functional.variables):
            if index not in self._layout.alone:
                variable.assign(values[index])


def _runner(function: Any) -> Callable[..., list[tf.Tensor]]:
    """Runs a concrete function on tensors of its specs, which need no more checks: they cost 40 microseconds a call."""
    captured = function.captured_inputs
    # TensorFlow does not promise to keep these attributes.
    call_flat = getattr(getattr(function, "inference_fn", None), "call_flat", None)
    return function if call_flat is None else lambda *inputs: call_flat(*inputs, *captured)
