"""Marks environment instances that are in use: one cannot serve two purposes at once, as training and evaluation.

The mark is an attribute of the instance itself, beneath all wrappers. It holds the instance's id, so that a copy of a marked
instance is not marked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

UNNAMED = "another purpose"
_MARK = "_polyrl_in_use"


def check_free(env: Any, purpose: str = UNNAMED) -> None:
    """Checks that an environment is not in use; opens and marks nothing.

    Args:
        env: whatever `open_env` takes. An open instance is in use if `open_env` holds it, an environment that it wraps, a
            vector environment that contains it, or one of the environments that it contains. Others are always free, as
            `open_env` opens new instances of them.
        purpose: what it is needed for, as `'evaluation'`; for the error.

    Raises:
        ValueError: if it is in use; the message names both purposes.
    """
    for instance in _instances(env):
        holder = _holder(instance)
        if holder is not None:
            raise ValueError(
                f"The environment {instance} is in use by {holder}, and cannot serve {purpose} at the same time: the steps of "
                "one would change the episodes of the other. Pass an id, a GymEnvironment (of an id, or of a class or a "
                "function that makes a new one), or a second instance."
            )


@contextlib.contextmanager
def in_use(env: gymnasium.Env | VectorEnv, purpose: str) -> Iterator[None]:
    """Marks an open instance that is free, and the environments that a vector environment contains, as in use.

    At the end the marks are removed.

    Raises:
        ValueError: if a vector environment contains the same environment twice.
    """
    instances = _instances(env)
    if len({id(instance) for instance in instances}) < len(instances):
        raise ValueError(f"The vector environment {env} contains the same environment twice; make a new one for each place.")
    for instance in instances:
        vars(instance)[_MARK] = (purpose, id(instance))
    try:
        yield
    finally:
        for instance in instances:
            vars(instance).pop(_MARK, None)


def _instances(env: Any) -> list[Any]:
    """An open instance without its wrappers, the environments that a vector environment shows under `envs`, and those that any
    of them has as an attribute: a class that wraps another environment need not be a `gymnasium.Wrapper`.
    """
    if not isinstance(env, (gymnasium.Env, VectorEnv)):
        return []
    found: list[Any] = [env.unwrapped]
    parts = getattr(found[0], "envs", None) if isinstance(found[0], VectorEnv) else None
    if isinstance(parts, (list, tuple)):
        found += [part.unwrapped for part in parts if isinstance(part, gymnasium.Env)]
    places = list(found)
    while places:
        held = [value.unwrapped for value in vars(places.pop()).values() if isinstance(value, (gymnasium.Env, VectorEnv))]
        new = [one for one in held if all(one is not other for other in found)]
        found += new
        places += new
    return found


def _holder(instance: Any) -> str | None:
    purpose, owner = vars(instance).get(_MARK, (None, None))
    return purpose if owner == id(instance) else None
