"""`CarriedState`: a run's state as tensors in compiled calls, and in two flat variables between them.

An update in a call takes 58 microseconds with it and 62 with XLA on the variables themselves, in a loop 24.1 and 24.5
(`scripts/benchmarks/engine.py`). When a state had 40 small variables, it saved 0.4 milliseconds (0.3 against 0.7). Since then
replay rows are packed, and the optimizer's step is fused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from polyrl.engine.collection import without_collection
from polyrl.engine.direct_call import direct_call
from polyrl.engine.functional import Functional, NotFunctionalError
from polyrl.engine.layout import Layout
from polyrl.engine.tracing import traced

logger = logging.getLogger("polyrl")


class CarriedState:
    """The values of all variables below `roots`, as compiled calls keep them.

    After a call the small variables are out of date: their values are in flat variables of this object. `write_back` assigns
    them to the variables (before a checkpoint, an evaluation, summaries), `load` takes them from there. Large variables are
    always up to date.

    Args:
        roots: modules whose variables are the state; all of them exist already.
        probe: code as it will be compiled, traced to find the variables that cannot be carried.

    Raises:
        NotFunctionalError: if `probe` assigns variables in a branch or a nested function.
    """

    def __init__(self, roots: Sequence[tf.Module], probe: Callable[[], Any]):
        self._functional = Functional(roots)
        with without_collection():
            inner, _ = self._trace(probe, [])
        in_place = list(inner.variables)
        if in_place:
            names = ", ".join(sorted(variable.name for variable in in_place))
            logger.info("Read and assigned in place, which is slower, as layers keep them in a way of their own: %s", names)
            self._functional = Functional(roots, keep=in_place)
        variables = self._functional.variables
        self._layout = Layout(variables)
        vectors = self._layout.specs[: self._layout.vectors]
        self._flat = [tf.Variable(tf.zeros(spec.shape, spec.dtype), trainable=False) for spec in vectors]
        self._held = [*self._flat, *(variables[index] for index in self._layout.alone)]
        self._load = traced(self._build_load)
        self._write_back = traced(self._build_write_back)
        self.load()

    def load(self) -> None:
        """Takes the variables' values, after code outside a compiled call has assigned them."""
        self._load()
        self._up_to_date = True

    def write_back(self) -> None:
        """Assigns the present values to the variables."""
        if not self._up_to_date:
            self._write_back()
        self._up_to_date = True

    def compile(self, function: Callable[..., Any], specs: Sequence[Any]) -> Callable[..., list[tf.Tensor]]:
        """Compiles `function`, which returns a list of tensors and may assign the variables, with XLA.

        Raises:
            NotFunctionalError: if it assigns variables in a branch or a nested function, or uses some of them in place.
        """
        with without_collection():
            inner, changed = self._trace(function, specs)
        carried = {variable.ref() for variable in self._functional.variables}
        missed = [variable.name for variable in inner.variables if variable.ref() in carried]
        if missed:
            raise NotFunctionalError(f"Variables are used in place here, and were not in the probe: {missed}.")

        def call(*inputs: tf.Tensor) -> Any:
            held = [variable.read_value() for variable in self._held]
            values, outputs = inner(*self._layout.unpack(held), *inputs)
            for position, value in self._layout.update(held, dict(zip(changed, values, strict=True))).items():
                self._held[position].assign(value)
            return outputs

        compiled = direct_call(traced(call, jit_compile=True).get_concrete_function(*specs))

        def run(*inputs: tf.Tensor) -> list[tf.Tensor]:
            self._up_to_date = False
            return compiled(*inputs)

        return run

    def _trace(self, function: Callable[..., Any], specs: Sequence[Any]) -> tuple[Any, list[int]]:
        """Turns `function` into a pure function: (variable values, inputs) -> (changed values, outputs).

        Also returns the indices of the variables that it changes.
        """
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
        return traced(pure).get_concrete_function(*values, *specs), changed

    def _build_load(self) -> None:
        values = {
            index: variable.read_value()
            for index, variable in enumerate(self._functional.variables)
            if index not in self._layout.alone
        }
        for position, value in self._layout.update([flat.read_value() for flat in self._flat], values).items():
            self._flat[position].assign(value)

    def _build_write_back(self) -> None:
        values = self._layout.unpack([variable.read_value() for variable in self._held])
        for index, variable in enumerate(self._functional.variables):
            if index not in self._layout.alone:
                variable.assign(values[index])
