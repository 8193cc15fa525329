"""What the tests of the borders share: odd values of all kinds, what a clear error is, and how a property is driven."""

from __future__ import annotations

import dis
import fractions
import math
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import polyrl
from polyrl import errors

OURS = str(Path(polyrl.__file__).resolve().parent)
KINDS = (TypeError, ValueError, KeyError, errors.NonFiniteError, NotADirectoryError, FileNotFoundError)
TENSORFLOWS = ("{{", "Exception encountered", "Could not", "could not", "Attempt to convert", "cannot compute", "In[0]")
NAN, INF = math.nan, math.inf

# Clear errors. --------------------------------------------------------------------------------------------------------------


def clear(error: BaseException, *names: str) -> str | None:
    """None if an error is one of polyrl's own, by a `raise`, and its message has one of the names; else what it lacks."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    assert frame is not None
    message = str(error)
    if not isinstance(error, KINDS):
        return "is of another kind"
    if not str(Path(frame.tb_frame.f_code.co_filename).resolve()).startswith(OURS):
        return f"comes from {frame.tb_frame.f_code.co_filename}"
    if not any(
        i.offset == frame.tb_lasti and i.opname == "RAISE_VARARGS" for i in dis.get_instructions(frame.tb_frame.f_code)
    ):
        return "is an operation that failed"
    if message.startswith(TENSORFLOWS):
        return "begins as TensorFlow's do"
    if names and not any(name in message for name in names):
        return f"names none of {names}"
    return None


def attempt(call: Callable[[], Any], *names: str) -> tuple[bool, Any]:
    """`(True, what the call gives)`, or `(False, its error)`, which must be clear."""
    try:
        return True, call()
    except Exception as error:
        lacks = clear(error, *names)
        if lacks is not None:
            raise AssertionError(f"{type(error).__name__} {lacks}: {error}") from error
        return False, error


# How a property is driven. --------------------------------------------------------------------------------------------------


def quick(check: Callable[[Any], None], cases: st.SearchStrategy, examples: int = 40) -> None:
    """Tries a property on a few examples, the same ones each time."""
    _settings(examples, derandomize=True)(given(cases)(_plain(check)))()


def drive(check: Callable[[Any], None], cases: st.SearchStrategy, seconds: float = 60.0) -> None:
    """Tries a property on ever new examples, for some seconds, or until it fails."""
    end, tried = time.monotonic() + seconds, 0

    def counted(case: Any) -> None:
        nonlocal tried
        tried += 1
        check(case)

    while time.monotonic() < end:
        _settings(300, derandomize=False)(given(cases)(counted))()
    print(f"{check.__name__}: {tried} examples")


def _plain(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """A new function, which hypothesis may decorate."""

    def tried(case: Any) -> None:
        check(case)

    return tried


def _settings(examples: int, derandomize: bool) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=derandomize,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


slow = pytest.mark.slow

# Odd values. ----------------------------------------------------------------------------------------------------------------

FLOATS = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 0.5, NAN, INF, -INF, 1e300, 1e-320, 3.5e38]), st.floats(width=32))
INTS = st.one_of(st.integers(-3, 9), st.sampled_from([2**31, -(2**31) - 1, 2**40, 2**63, 2**64, 10**400, 255, 256, 300]))
DTYPES = [np.bool_, *(np.dtype(kind) for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"))]
ODD_DTYPES = [np.dtype(kind) for kind in ("c8", "c16", "U2", "S2", "M8[s]", "m8[s]", "O")]


class Thing:
    """An object of nobody's."""


class ArrayLike:
    """Has an array, as tensors of other libraries do."""

    def __init__(self, values: Any):
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.values, dtype)


class Failing:
    """Cannot be made an array."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("no array")


def number_of(dtype: Any) -> st.SearchStrategy:
    return hnp.from_dtype(np.dtype(dtype), allow_nan=True, allow_infinity=True)


NUMPY_SCALARS = st.sampled_from(DTYPES).flatmap(number_of).map(lambda x: x if isinstance(x, np.generic) else np.asarray(x)[()])
NUMBERS = st.one_of(st.booleans(), INTS, FLOATS, NUMPY_SCALARS)
ODD = st.one_of(
    st.none(),
    st.complex_numbers(max_magnitude=9),
    st.text(max_size=4),
    st.sampled_from(["1", "0.5", "nan", "True", "", "adam"]),
    st.binary(max_size=3),
    st.builds(Thing),
    st.builds(Failing),
    st.sampled_from([len, int, Thing, Ellipsis, NotImplemented, np.float32, tf.float32, np, range(3), Decimal("0.5")]),
    st.sampled_from(
        [fractions.Fraction(1, 2), np.datetime64("2020-01-01"), np.timedelta64(1, "s"), memoryview(b"ab"), slice(1)]
    ),
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)


def arrays(shape: Any = SHAPES, dtypes: Any = (*DTYPES, *ODD_DTYPES)) -> st.SearchStrategy:
    """Arrays of any dtype, in any layout, and what stands for them."""
    plain = st.sampled_from(list(dtypes)).flatmap(lambda dtype: filled(dtype, shape))
    disguises = [
        lambda a: a,
        lambda a: a.tolist(),
        np.asfortranarray,
        np.ma.masked_array,
        ArrayLike,
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: tuple(a.tolist()) if a.ndim else a,
        lambda a: tf.constant(a) if a.dtype.kind in "biuf" else a,
    ]
    return st.builds(lambda change, array: change(array), st.sampled_from([*disguises, *[disguises[0]] * 4]), plain)


def filled(dtype: Any, shape: Any) -> st.SearchStrategy:
    dtype = np.dtype(dtype)
    if dtype.kind == "O":
        return hnp.arrays(object, shape, elements=st.one_of(NUMBERS, ODD), fill=st.nothing())
    small = st.integers(0, 5) if dtype.kind in "iu" else st.sampled_from([0.0, 1.0, 0.5, -1.0, 7.0])
    usual = small if dtype.kind in "iuf" else number_of(dtype)
    return hnp.arrays(dtype, shape, elements=st.one_of(usual, usual, number_of(dtype)))


def nests(leaves: st.SearchStrategy, keys: st.SearchStrategy | None = None) -> st.SearchStrategy:
    """Lists, tuples, dicts and sets of things."""
    keys = st.one_of(st.text(max_size=3), st.integers(0, 3), st.none()) if keys is None else keys

    def deeper(inner: st.SearchStrategy) -> st.SearchStrategy:
        few = st.lists(inner, max_size=4)
        return st.one_of(few, few.map(tuple), st.dictionaries(keys, inner, max_size=3))

    return st.recursive(leaves, deeper, max_leaves=6)


ANYTHING = st.one_of(NUMBERS, ODD, arrays(), nests(st.one_of(NUMBERS, ODD)), st.frozensets(st.integers(0, 3)))
"""Values of any kind."""
