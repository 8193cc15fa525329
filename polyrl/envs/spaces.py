"""`num_states_and_actions`, `other_keys`, `action_bounds`: what a model has to know of an environment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Dict, Discrete, MultiDiscrete

from polyrl.envs.actions import action_spec
from polyrl.envs.compiled.base import CompiledEnvironment
from polyrl.envs.compiled.check import check_spaces
from polyrl.envs.gym import EnvLike, as_vector, check_vector
from polyrl.envs.observations import MASK


def num_states_and_actions(env: EnvLike) -> tuple[Any, int]:
    """The `num_states` and `num_actions` of a model for an environment.

    `num_states` is `n` for a `Discrete(n)` observation space, whose states are discrete with the indices 0 to n - 1; the
    shape for a `Box`; that of the key `state` for a `Dict`. `num_actions` is 0 for continuous actions.

    Args:
        env: as for `Agent.train`. One instance is opened and closed again; one that is open is neither stepped nor reset.

    Raises:
        TypeError: for spaces that are not supported.
    """
    with _spaces(env) as (space, actions):
        space = space["state"] if isinstance(space, Dict) else space
        states = int(space.n) if isinstance(space, Discrete) else tuple(space.shape or ())
        return states, int(getattr(actions, "n", 0))


def other_keys(env: EnvLike) -> dict[str, int | None]:
    """The keys of a Dict observation beside `state` and `action_mask`, as `networks.with_other_keys` takes them.

    A key of categories, `Discrete` or `MultiDiscrete`, has their number; one of quantities None. Other spaces have no keys.

    Args:
        env: as for `num_states_and_actions`.

    Raises:
        TypeError: for spaces that are not supported.
    """
    with _spaces(env) as (space, _):
        parts = space.spaces if isinstance(space, Dict) else {}
        return {key: _categories(part) for key, part in parts.items() if key not in ("state", MASK)}


def _categories(space: gymnasium.Space) -> int | None:
    if isinstance(space, Discrete):
        return int(space.n)
    return int(np.max(space.start + space.nvec)) if isinstance(space, MultiDiscrete) else None


def action_bounds(env: EnvLike) -> tuple[np.ndarray, np.ndarray]:
    """The `action_low` and `action_high` of a model for an environment with continuous actions, float32 `[k]` each.

    `k` is the model's `num_actions`.

    Args:
        env: as for `num_states_and_actions`.

    Raises:
        TypeError: for discrete actions, and for spaces that are not supported.
    """
    with _spaces(env) as (_, actions):
        if isinstance(actions, Discrete):
            raise TypeError(f"The action space {actions} is discrete and has no bounds; use num_states_and_actions.")
        spec = action_spec(actions)
        return np.array(spec.minimum, np.float32), np.array(spec.maximum, np.float32)


@contextlib.contextmanager
def _spaces(env: EnvLike) -> Iterator[tuple[gymnasium.Space, gymnasium.Space]]:
    """Those of one environment, of observations and of actions; what was opened for it is closed again."""
    if isinstance(env, CompiledEnvironment):  # Without TensorFlow, which may still be told how to compute.
        check_spaces(env)
        yield env.observation_space, env.action_space
        return
    vector, is_new = as_vector(env, num_envs=1)
    with contextlib.closing(vector) if is_new else contextlib.nullcontext():
        check_vector(vector)
        yield vector.single_observation_space, vector.single_action_space
