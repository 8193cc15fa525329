"""What a run notes of its environment: a resumed one says if it is another."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from polyrl.envs.factory import registered
from polyrl.envs.gym import EnvLike, GymEnvironment
from polyrl.envs.wrapping import name_of

LEFT_OUT = ("num_envs", "render_mode", "vector_kwargs", "vectorization_mode")
"""Arguments that change nothing of what an environment does."""


def described(env: EnvLike) -> str:
    """An environment's id, or its class or function, with its arguments: the same in whatever form it is given.

    Arguments that are not plain are given by their types; what an open environment was made with is known of those with an id.
    """
    if isinstance(env, GymEnvironment):
        wrappers = "".join(f", {name_of(wrap)}" for wrap in env.wrappers)
        if isinstance(env.env_id, (str, EnvSpec)):
            return _of_spec(registered(env.env_id), **env.kwargs) + wrappers
        make: Any = env.env_id
        kwargs = env.kwargs
        while isinstance(make, functools.partial):
            make, kwargs = make.func, {**make.keywords, **kwargs}
        return _call(_name(make), kwargs) + wrappers
    if isinstance(env, (str, EnvSpec)):
        return described(GymEnvironment(env))
    if isinstance(env, VectorEnv):
        opened = getattr(env, "envs", None)
        return described(opened[0]) if opened and env.spec is None else _of_opened(env)
    if isinstance(env, gymnasium.Env):
        return _of_opened(env)
    # What it keeps for itself, as compiled functions, is in dicts or has an underscore.
    attributes = {
        name: value
        for name, value in getattr(env, "__dict__", {}).items()
        if not name.startswith("_") and not isinstance(value, dict)
    }
    return _call(_name(type(env)), {name: value for name, value in attributes.items() if _is_plain(value)})


def _of_opened(env: gymnasium.Env | VectorEnv) -> str:
    return _name(type(env.unwrapped)) if env.spec is None else _of_spec(env.spec)


def _of_spec(spec: EnvSpec, **kwargs: Any) -> str:
    wrappers = "".join(f", {wrapper.name}" for wrapper in spec.additional_wrappers)
    return _call(spec.id, {**spec.kwargs, **kwargs}) + wrappers


def _call(name: str, arguments: dict[str, Any]) -> str:
    shown = [f"{key}={_shown(arguments[key])}" for key in sorted(arguments) if key not in LEFT_OUT]
    return f"{name}({', '.join(shown)})" if shown else name


def _shown(value: Any) -> str:
    return repr(value) if _is_plain(value) else _name(value if callable(value) else type(value))


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return _is_plain([*value.keys(), *value.values()])
    return value is None or isinstance(value, (bool, int, float, str))


def _name(made: Any) -> str:
    """Of a class or a function; another callable has none."""
    return getattr(made, "__qualname__", type(made).__qualname__)
