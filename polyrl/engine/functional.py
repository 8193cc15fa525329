"""Runs code that reads and assigns variables as a pure function of their values.

A compiled loop is fast if its state is carried as tensors, and slow if it reads and assigns variables in each round. Layers,
optimizers and replay memories are written with variables. While such code is traced, each variable that an object holds is
replaced by a `StandIn`, whose assignments rebind a tensor; afterwards the variables are back in their places.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from tf_keras.optimizers import Optimizer

_active: contextvars.ContextVar[Functional | None] = contextvars.ContextVar("polyrl_functional", default=None)


class NotFunctionalError(Exception):
    """The code does with a variable what cannot be done with its value, as to assign it in a branch of `tf.cond`."""


class _MissingError(NotFunctionalError, AttributeError):
    """What a stand-in does not have; an AttributeError too, so that code which asks first gets its answer."""


class StandIn:
    """Stands in for a variable while code is traced: it reads as a tensor, and an assignment rebinds it.

    What it does not offer, its resource handle above all, raises a NotFunctionalError.
    """

    def __init__(self, variable: tf.Variable):
        self._variable = variable
        self.tensor: Any = None

    # Only what describes the variable; never its handle, which would bypass the stand-in.
    name = property(lambda self: self._variable.name)
    dtype = property(lambda self: self._variable.dtype)
    shape = property(lambda self: self._variable.shape)
    trainable = property(lambda self: self._variable.trainable)
    constraint = property(lambda self: self._variable.constraint)
    _unique_id = property(lambda self: self._variable._unique_id)  # tf-keras optimizers find a variable's slots by it.

    def ref(self) -> Any:
        """The variable's own reference: a stand-in is found where its variable would be."""
        return self._variable.ref()

    def read_value(self) -> tf.Tensor:
        return self.tensor

    value = read_value

    def assign(self, value: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True) -> tf.Tensor:
        value = tf.convert_to_tensor(value, self.dtype)
        if not self.shape.is_compatible_with(value.shape):
            raise ValueError(f"{self.name} has shape {self.shape}; it cannot be assigned a value of shape {value.shape}.")
        if value.graph is not self.tensor.graph:
            raise NotFunctionalError(f"{self.name} is assigned inside a branch or a nested function.")
        self.tensor = value
        return value

    def assign_add(self, delta: Any, *args: Any, **kwargs: Any) -> tf.Tensor:
        return self.assign(self.tensor + tf.convert_to_tensor(delta, self.dtype))

    def assign_sub(self, delta: Any, *args: Any, **kwargs: Any) -> tf.Tensor:
        return self.assign(self.tensor - tf.convert_to_tensor(delta, self.dtype))

    def scatter_nd_update(self, indices: Any, updates: Any, name: str | None = None) -> tf.Tensor:
        return self.assign(tf.tensor_scatter_nd_update(self.tensor, indices, updates))

    def __getattr__(self, name: str) -> Any:
        raise _MissingError(f"A variable's {name!r} is used, which has no meaning for its value.")

    __array_priority__ = 100  # As a variable's: an array on the left leaves the operation to the stand-in.

    def __getitem__(self, item: Any) -> tf.Tensor:
        return self.tensor[item]


def _delegate(operator: str) -> Callable[..., Any]:
    def apply(self: StandIn, *others: Any) -> Any:
        return getattr(self.tensor, operator)(*[other.tensor if isinstance(other, StandIn) else other for other in others])

    return apply


# All that a variable overloads. What it left out would be done by identity, as `==`, or by Python's `object`, in silence.
_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")
_OTHER = ("neg", "abs", "invert", "bool", "eq", "ne", "lt", "le", "gt", "ge")
for _name in (*_BINARY, *(f"r{_name}" for _name in _BINARY), *_OTHER):
    setattr(StandIn, f"__{_name}__", _delegate(f"__{_name}__"))

tf.register_tensor_conversion_function(
    StandIn, lambda value, dtype=None, name=None, as_ref=False: tf.convert_to_tensor(value.tensor, dtype)
)


class Functional:
    """The variables below some objects, which code can be given as values.

    Args:
        roots: whose variables they are; modules and optimizers below them are searched through.
        keep: variables that are left as they are.
    """

    def __init__(self, roots: Sequence[tf.Module], keep: Sequence[tf.Variable] = ()):
        kept = {variable.ref() for variable in keep}
        self._stand_ins: dict[Any, StandIn] = {}
        self._places: list[tuple[dict[str, Any], str, Any]] = []
        for holder in _holders(roots):
            for name, value in vars(holder).items():
                if name.startswith("_self_"):  # What TensorFlow notes there for checkpoints is no use of the variable.
                    continue
                found = [v for v in _variables_in(value) if v.ref() not in kept]
                for variable in found:
                    self._stand_ins.setdefault(variable.ref(), StandIn(variable))
                if found:
                    self._places.append((vars(holder), name, value))
        self.variables: list[tf.Variable] = [stand_in._variable for stand_in in self._stand_ins.values()]

    @contextlib.contextmanager
    def given(self, values: Sequence[tf.Tensor]) -> Iterator[None]:
        """Inside of the `with` block code finds stand-ins with `values`, in the order of `variables`, for the variables."""
        for place, name, value in self._places:
            place[name] = self._replaced(value)
        token = _active.set(self)
        try:
            with self._bound(values):
                yield
        finally:
            _active.reset(token)
            for place, name, value in self._places:
                place[name] = value

    def values(self) -> list[tf.Tensor]:
        """The present values, inside of a `given` block."""
        return [stand_in.tensor for stand_in in self._stand_ins.values()]

    def while_loop(self, cond: Callable[..., tf.Tensor], body: Callable[..., Any], loop_vars: Sequence[Any]) -> list[Any]:
        """See the function of this name."""

        def carried_cond(values: Sequence[tf.Tensor], *loop_vars: Any) -> tf.Tensor:
            with self._bound(values):
                return cond(*loop_vars)

        def carried_body(values: Sequence[tf.Tensor], *loop_vars: Any) -> tuple[Any, ...]:
            with self._bound(values):
                result = body(*loop_vars)
                return self.values(), *result

        values, *result = tf.while_loop(carried_cond, carried_body, [self.values(), *loop_vars])
        for stand_in, value in zip(self._stand_ins.values(), values, strict=True):
            stand_in.tensor = value
        return result

    @contextlib.contextmanager
    def _bound(self, values: Sequence[tf.Tensor]) -> Iterator[None]:
        outer = self.values()
        for stand_in, value in zip(self._stand_ins.values(), values, strict=True):
            stand_in.tensor = value
        try:
            yield
        finally:
            for stand_in, value in zip(self._stand_ins.values(), outer, strict=True):
                stand_in.tensor = value

    def _replaced(self, value: Any) -> Any:
        """A copy of an attribute's value with stand-ins for the variables; containers become plain ones."""
        if isinstance(value, tf.Variable):
            return self._stand_ins.get(value.ref(), value)
        if isinstance(value, Mapping):
            return {key: self._replaced(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._replaced(item) for item in value]
        if isinstance(value, tuple) and not hasattr(value, "_fields"):
            return tuple(self._replaced(item) for item in value)
        return value


def while_loop(cond: Callable[..., tf.Tensor], body: Callable[..., Any], loop_vars: Sequence[Any]) -> list[Any]:
    """`tf.while_loop`, whose body may assign variables: inside of `Functional.given` their values are carried."""
    functional = _active.get()
    return (tf.while_loop if functional is None else functional.while_loop)(cond, body, list(loop_vars))


def active() -> bool:
    """Whether code finds stand-ins in place of variables."""
    return _active.get() is not None


def sources(variables: Sequence[Any]) -> list[Any]:
    """What a gradient tape watches and differentiates by for `variables`: themselves, or their present values."""
    return [variable.tensor if isinstance(variable, StandIn) else variable for variable in variables]


def _holders(roots: Sequence[tf.Module]) -> list[Any]:
    """All modules and optimizers below the roots, each once."""
    found: dict[int, Any] = {}
    waiting = list(roots)
    while waiting:
        value = waiting.pop()
        if isinstance(value, (tf.Module, Optimizer)):
            if id(value) not in found:
                found[id(value)] = value
                waiting.extend(vars(value).values())
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
    return list(found.values())


def _variables_in(value: Any) -> Iterator[tf.Variable]:
    """The variables of an attribute's value: itself, or what it contains."""
    if isinstance(value, tf.Variable):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _variables_in(item)
    elif isinstance(value, list) or (isinstance(value, tuple) and not hasattr(value, "_fields")):
        for item in value:
            yield from _variables_in(item)
