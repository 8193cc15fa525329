"""`StandIn`: what code finds in a variable's place while `functional.py` runs it on values: a tensor that can be assigned.

It works while a call is traced, and costs a call nothing; what carrying values buys is said in `carried.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


class NotFunctionalError(Exception):
    """The code does with a variable what cannot be done with its value, for example an assignment in a branch of `tf.cond`."""


class _MissingError(NotFunctionalError, AttributeError):
    """What a stand-in does not have; an AttributeError too, so that `hasattr` and `getattr` get their answer."""


class StandIn:
    """Stands in for a variable while code is traced: it reads as a tensor, and an assignment rebinds it.

    What it does not offer, its resource handle above all, raises a NotFunctionalError.

    Attributes:
        tensor: the present value.
        assignable_in: the graph in which it may be assigned. What an inner graph assigns, for example that of a
            branch, would not reach it.
    """

    def __init__(self, variable: tf.Variable):
        self._variable = variable
        self.tensor: Any = None
        self.assignable_in: Any = None

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
        here = tf.identity(value)  # In the present graph, wherever the value comes from.
        if here.graph is not self.assignable_in:
            raise NotFunctionalError(
                f"{self.name} is assigned inside a branch or a nested function; `functional.when` would carry its value."
            )
        # The given tensor itself if possible: `is` then tells that a variable has its old value again.
        self.tensor = value if getattr(value, "graph", None) is here.graph else here
        return self.tensor

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
