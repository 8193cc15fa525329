"""Argument checks for constructors: each error names the argument, its value and what is allowed."""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import itertools
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def sentence(text: object) -> str:
    """The message of another library with one full stop at its end, for a message in which more follows."""
    return f"{str(text).rstrip('. ')}."


def check_int(name: str, value: Any, minimum: int) -> int:
    """Returns `value` as an int of at least `minimum`; a TypeError or ValueError otherwise."""
    if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}={value!r} must be an integer.")
    if value < minimum:
        raise ValueError(f"{name}={value} must be at least {minimum}.")
    return int(value)


def check_float(name: str, value: Any, minimum: float = -math.inf, maximum: float = math.inf) -> float:
    """Returns `value` as a finite float within `[minimum, maximum]`; a TypeError or ValueError otherwise."""
    if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r} must be a number.")
    number = math.inf
    with contextlib.suppress(OverflowError):  # Of an integer too large for a float.
        number = float(value)
    if not math.isfinite(number) or not minimum <= number <= maximum:
        wanted = f"lie in [{minimum}, {maximum}] and be finite" if minimum > -math.inf or maximum < math.inf else "be finite"
        raise ValueError(f"{name}={value} must {wanted}.")
    return number


def check_bool(name: str, value: Any) -> bool:
    """Returns `value`, which must be True or False, also NumPy's; a TypeError otherwise."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={value!r} must be True or False.")
    return bool(value)


def check_sequence(value: Any) -> Any:
    """Returns `value`; a TypeError for rows that differ in length, or NumPy's dates or time spans.

    TensorFlow makes an array of some of the former, and crashes on the latter.
    """
    if isinstance(value, (list, tuple)):
        try:
            np.shape(value)
        except ValueError as error:
            raise TypeError(f"its rows differ in length: {error}") from error
        except Exception:  # Of tensors without values.
            pass
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype == object):
        for item in value.flat if isinstance(value, np.ndarray) else value:
            check_sequence(item)
    elif isinstance(value, (np.datetime64, np.timedelta64)) or (isinstance(value, np.ndarray) and value.dtype.kind in "mM"):
        raise TypeError(f"{value!r} is not made of numbers")
    return value


def check_rows(name: str, values: np.ndarray, wrong: Any, wanted: str) -> None:
    """Raises a ValueError if a value is wrong; it names the first rows.

    Args:
        name: of the values, for the message.
        values: `[B, ...]`.
        wrong: bool, of the same shape, or `[B]`.
        wanted: what is expected of each.
    """
    values = np.atleast_1d(values)
    rows = np.unique(np.nonzero(np.atleast_1d(wrong))[0])
    if rows.size:
        more = ", ..." if rows.size > _SHOWN else ""
        shown = ", ".join(f"{shortened(str(values[row].tolist()))} in row {row}" for row in rows[:_SHOWN])
        raise ValueError(f"{name}: expected {wanted}; got {shown}{more}.")


_SHOWN = 5
"""Rows that a message shows at the most."""


def shortened(text: str) -> str:
    """A text for a message, cut in its middle where it is long."""
    return text if len(text) <= 100 else f"{text[:80]} ... {text[-15:]}"


def check_increasing(name: str, values: Sequence[Any]) -> None:
    """Checks that `values` are integers, each larger than the one before; a TypeError or ValueError otherwise."""
    for value in values:
        check_int(name, value, minimum=0)
    if any(later <= earlier for earlier, later in itertools.pairwise(values)):
        raise ValueError(f"{name}={tuple(values)} must be strictly increasing.")


KERAS3_REMEDY = (
    "`tf.keras` is Keras 3 here; polyrl works with tf-keras: write `import tf_keras as keras` and make the layers with it, or "
    "set the environment variable TF_USE_LEGACY_KERAS=1 before TensorFlow is imported, which makes `tf.keras` that."
)
"""What to do about an object of Keras 3."""


def is_keras3(value: Any) -> bool:
    """Whether a value is of a class of Keras 3, the package `keras`, or of a subclass; tf-keras is the package `tf_keras`."""
    return any(base.__module__.partition(".")[0] == "keras" for base in type(value).__mro__)


def suggestion(wrong: str, known: Any, cutoff: float = 0.6) -> str:
    """` Did you mean ...?` with the most similar name in `known`, whatever its case, or an empty string."""
    by_lower = {str(name).lower(): name for name in known}
    near = difflib.get_close_matches(wrong.lower(), by_lower, n=1, cutoff=cutoff)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""


def explains(hints: Mapping[str, str]) -> Callable[[T], T]:
    """Decorates a class or a function: the error for a keyword argument that it does not have says what to use instead.

    A constructor with `**kwargs`, which it hands on, takes the arguments of its base class's as well, as its signature then
    says.

    Args:
        hints: by argument name, as other libraries call what goes by another name here.
    """

    def decorate(target: Any) -> Any:
        function = getattr(target, "__init__") if isinstance(target, type) else target  # noqa: B009  mypy refuses the other.
        signature = _constructor_signature(target) if isinstance(target, type) else None
        known = keyword_names(function) if signature is None else _names(signature)
        if signature is None and isinstance(target, type):  # What it takes is not known.
            return target

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if not isinstance(target, type):
                check_keywords(target.__qualname__, kwargs, known, hints)
            elif not _is_checked(type(args[0]).__init__) or type(args[0]).__init__ is checked:
                # Otherwise by the constructor of a subclass, which may hand on more than this one names.
                check_keywords(type(args[0]).__name__, kwargs, known, hints)
                _check_all_there(type(args[0]).__name__, signature, args, kwargs)
            return function(*args, **kwargs)

        if not isinstance(target, type):
            return checked
        checked.__signature__ = signature  # type: ignore[attr-defined]
        target.__init__ = checked  # type: ignore[misc]
        return target

    return decorate


def _check_all_there(owner: str, signature: inspect.Signature | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raises a TypeError for arguments that have no default and are missing, with all of these in their order."""
    given = list(signature.parameters.values())[1:] if signature is not None else []
    required = [p.name for p in given if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    missing = [name for name in required[len(args) - 1 :] if name not in kwargs]
    if missing:
        shown = ", ".join(map(repr, missing))
        raise TypeError(
            f"{owner} got no {shown}: it takes ({', '.join(required)}) in this order or by name, and then what has defaults."
        )


def _is_checked(constructor: Any) -> bool:
    """Whether `explains` has decorated its class."""
    return hasattr(constructor, "__wrapped__") and hasattr(constructor, "__signature__")


def _constructor_signature(owner: type) -> inspect.Signature | None:
    """The arguments of a class's constructor, and as long as that hands on `**kwargs`, of its parents'.

    Those of a parent may be given by position where `*args` is handed on, too. None if they have no order, as where one
    without a default would follow one with a default, or if a constructor that is not Python's takes the rest.
    """
    found: dict[str, inspect.Parameter] = {}
    by_position = True
    for each in owner.__mro__:
        if "__init__" not in vars(each):
            continue
        try:
            own = list(inspect.signature(inspect.unwrap(vars(each)["__init__"])).parameters.values())
        except (TypeError, ValueError):
            return None
        kinds = {parameter.kind for parameter in own}
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        for parameter in own:
            if parameter.kind not in variable:
                kept = parameter if by_position else parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
                found.setdefault(parameter.name, kept)
        if inspect.Parameter.VAR_KEYWORD not in kinds or each is object:
            break
        by_position = by_position and inspect.Parameter.VAR_POSITIONAL in kinds
    try:
        return inspect.Signature(sorted(found.values(), key=lambda parameter: parameter.kind))
    except ValueError:
        return None


def explains_missing(hints: Mapping[str, str]) -> Callable[[T], T]:
    """Decorates a class: the error for an attribute that it does not have says what to use instead.

    Args:
        hints: by attribute, as other libraries call what goes by another name here.
    """

    def decorate(target: Any) -> Any:
        def missing(self: Any, name: str) -> Any:
            hint = f" {hints[name]}" if name in hints else suggestion(name, [each for each in dir(self) if each[0] != "_"])
            what = f"type object {self.__name__!r}" if isinstance(self, type) else f"{type(self).__name__!r} object"
            raise AttributeError(f"{what} has no attribute {name!r}.{hint}", name=name, obj=self)

        target.__getattr__ = missing
        return target

    return decorate


class ExplainsMissing(type):
    """The type of a class that `explains_missing` decorates, where the class explains what it does not have as its objects do:
    `Agent.load(path)`, as of other libraries."""

    def __getattr__(cls, name: str) -> Any:
        explain = next((vars(base)["__getattr__"] for base in cls.__mro__ if "__getattr__" in vars(base)), None)
        if explain is None:
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}", name=name, obj=cls)
        return explain(cls, name)


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether a function can be called with so many arguments by position; True of what does not tell, as builtin types."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def keyword_names(function: Callable[..., Any]) -> list[str]:
    """The arguments that a function or method takes by name; none of what does not tell, as builtin types."""
    try:
        return _names(inspect.signature(function))
    except (TypeError, ValueError):
        return []


def _names(signature: inspect.Signature) -> list[str]:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in signature.parameters.values() if p.kind in named and p.name not in ("self", "cls")]


def check_keywords(owner: str, given: Mapping[str, Any], known: Sequence[str], hints: Mapping[str, str]) -> None:
    """Raises a TypeError for a keyword argument that is not known, with its hint or the most similar name."""
    for name in given:
        if name not in known:
            hint = f" {hints[name]}" if name in hints else suggestion(name, known)
            raise TypeError(f"{owner} got an unexpected keyword argument {name!r}.{hint}")
