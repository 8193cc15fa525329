"""Wrappers of an environment by themselves or by name, as `'minigrid.wrappers:ImgObsWrapper'`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import gymnasium

from polyrl.own_modules import import_name

Wrap = Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Wrapped:
    """Makes an environment and wraps it; it can be pickled if its parts can.

    Args:
        make: makes the environment.
        wraps: the wrappers, the innermost first.

    Raises:
        TypeError: if a wrapper returns something that is not a `gymnasium.Env`.
    """

    make: Callable[[], gymnasium.Env[Any, Any]]
    wraps: tuple[Wrap, ...]

    def __call__(self) -> gymnasium.Env[Any, Any]:
        env = self.make()
        for wrap in self.wraps if isinstance(env, gymnasium.Env) else ():  # What is none is refused by the caller.
            inner, env = env, _wrapped(wrap, env)
            if not isinstance(env, gymnasium.Env):
                inner.close()
                raise TypeError(f"wrappers: {name_of(wrap)} returned {env!r}; expected the environment it was given, wrapped.")
        return env


def _wrapped(wrap: Wrap, env: gymnasium.Env[Any, Any]) -> Any:
    """`wrap(env)`; a TypeError that says what to do for a wrapper that takes more than the environment."""
    try:
        inspect.signature(wrap).bind(env)
    except TypeError as error:
        raise TypeError(
            f"wrappers: {name_of(wrap)} cannot be made of the environment alone: {error}. Give functools.partial with the "
            "rest; on the command line, a function that makes the environment and wraps it: --env=module:function."
        ) from error
    except ValueError:  # Of what has no signature.
        pass
    return wrap(env)


def found(wrappers: Any) -> tuple[Wrap, ...]:
    """The wrappers as classes or functions; names are imported.

    Raises:
        TypeError: for what is not a sequence of classes, functions and names.
        ValueError: for a name that cannot be imported.
    """
    if isinstance(wrappers, str) or not isinstance(wrappers, Iterable):
        raise TypeError(f"wrappers={wrappers!r} must be a sequence, as ({wrappers!r},) with one wrapper.")
    return tuple(_imported(wrapper) if isinstance(wrapper, str) else _called(wrapper) for wrapper in wrappers)


def name_of(wrap: Wrap) -> str:
    """A wrapper's name; of a `functools.partial` that of its function."""
    inner = getattr(wrap, "func", wrap)
    return getattr(inner, "__qualname__", type(inner).__qualname__)


def _called(wrapper: Any) -> Wrap:
    if not callable(wrapper) or isinstance(wrapper, gymnasium.Env):
        raise TypeError(
            f"wrappers: {wrapper!r} is none; expected a class or a function of the environment, or its name, as "
            "'minigrid.wrappers:ImgObsWrapper'."
        )
    return wrapper


def _imported(name: str) -> Wrap:
    if ":" not in name:
        raise ValueError(f"wrappers: {name!r} names no module; expected one as in 'minigrid.wrappers:ImgObsWrapper'.")
    return _called(import_name("wrappers", name))
