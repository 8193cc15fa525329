"""What the tests of the engine share: modules with any attributes, arrays of any bits, and code run on carried values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from polyrl.engine.compiler import Compiler
from polyrl.engine.functional import Functional
from polyrl.engine.packing import LIMIT

JIT = pytest.mark.parametrize("jit", [False, True], ids=["function", "xla"])

COMPILATIONS = {
    "eager": lambda function: function,
    "function": lambda function: tf.function(function, autograph=False),
    "xla": lambda function: tf.function(function, autograph=False, jit_compile=True),
}

DTYPES = ("float32", "int32", "int64", "float64", "uint8", "int8", "bool", "float16")
SHAPES = ((), (0,), (1,), (3,), (2, 0), (2, 3), (1, 1, 1), (2, 3, 4), (5, 7))
BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class Holder(tf.Module):
    """A module with whatever attributes it is given."""

    def __init__(self, **attributes: Any):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)


def variable(value: Any = 0.0, dtype: tf.DType = tf.float32, **arguments: Any) -> tf.Variable:
    return tf.Variable(value, dtype=dtype, **arguments)


def run(roots, function, *values, jit=False):
    """Calls `function()` as a pure one of the variables' values, their own by default; gives those after it, and outputs."""
    carried = Functional(roots)

    @tf.function(autograph=False, jit_compile=jit)
    def pure(*given):
        with carried.given(given):
            outputs = function()
            return carried.values(), outputs

    after, outputs = pure(*(values or [tf.identity(v) for v in carried.variables]))
    return [value.numpy() for value in after], tf.nest.map_structure(lambda x: x.numpy(), outputs)


def random_bits(rng, dtype: str, shape) -> np.ndarray:
    """An array of any bits at all: NaN with payloads, infinities, denormal and negative numbers."""
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(np.bool_)
    return np.frombuffer(rng.bytes(dtype.itemsize * int(np.prod(shape))), dtype).reshape(shape)


def bits(array) -> np.ndarray:
    array = np.asarray(array)
    return array.view(BITS[array.dtype.itemsize]) if array.ndim else array.reshape([1]).view(BITS[array.dtype.itemsize])


def same(found, expected) -> None:
    """The same shape, dtype and bits."""
    found = np.asarray(found)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(bits(found), bits(expected))


def specs_of(arrays) -> list[tf.TensorSpec]:
    return [tf.TensorSpec(array.shape, array.dtype) for array in arrays]


def assert_close(found, expected, rtol=1e-5, atol=1e-6):
    """XLA orders sums in another way, so that they are not equal to the last bit."""
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(one, np.float64), np.asarray(two, np.float64), rtol=rtol, atol=atol)


class Model(Holder):
    """Small variables and a large one, and what calls do to them."""

    def __init__(self):
        super().__init__(
            count=tf.Variable(0, dtype=tf.int64, name="count"),
            weights=tf.Variable([1.0, 2.0], name="weights"),
            large=tf.Variable(tf.zeros([LIMIT + 1]), name="large"),
        )
        self.traces = 0

    def probe(self):
        return self.scale(tf.constant(1.0))

    def scale(self, x):
        self.traces += 1
        self.count.assign_add(1)
        self.weights.assign(self.weights * x)
        self.large.assign_add(tf.fill([LIMIT + 1], x))
        return [tf.reduce_sum(self.weights), self.count.read_value()]

    def in_branch(self, x):
        """What cannot be carried."""
        tf.cond(x > 0.0, lambda: self.count.assign_add(10), lambda: self.count.read_value())
        return self.scale(x)

    def in_words(self, x):
        """What XLA does not know."""
        return self.scale(tf.strings.to_number(tf.strings.as_string(x)))

    def in_python(self, x):
        """What XLA does not know either."""
        return self.scale(tf.ensure_shape(tf.py_function(lambda x: x, [x], tf.float32), []))

    def numbers(self):
        return [self.count.numpy(), *self.weights.numpy(), *np.unique(self.large)]


def started(model: Model, jit: bool) -> Compiler:
    compiler = Compiler()
    compiler.start([model], model.probe, jit)
    assert compiler.xla == jit
    return compiler


def called(compiler: Compiler, function, x: float, name=None) -> list[float]:
    """The call as a loop makes it: looked up for each use."""
    call = compiler.call(name or function.__name__, lambda: (function, [tf.TensorSpec([], tf.float32)]))
    return [float(output) for output in call(tf.constant(x))]
