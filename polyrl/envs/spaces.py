"""`num_states_and_actions`: what a model has to know of an environment."""

from __future__ import annotations

import contextlib
from typing import Any

from gymnasium.spaces import Dict, Discrete

from polyrl.envs.gym import EnvLike, as_vector, check_vector


def num_states_and_actions(env: EnvLike) -> tuple[Any, int]:
    """The `num_states` and `num_actions` of a model for an environment.

    `num_states` is `n` for a `Discrete(n)` observation space, whose states are discrete with the indices 0 to n - 1; the
    shape for a `Box`; that of the key `state` for a `Dict`. `num_actions` is 0 for continuous actions.

    Args:
        env: as for `Agent.train`. One instance is opened and closed again; one that is open is neither stepped nor reset.

    Raises:
        TypeError: for spaces that are not supported.
    """
    vector, is_new = as_vector(env, num_envs=1)
    with contextlib.closing(vector) if is_new else contextlib.nullcontext():
        check_vector(vector)
        space, actions = vector.single_observation_space, vector.single_action_space
        space = space["state"] if isinstance(space, Dict) else space
        states = int(space.n) if isinstance(space, Discrete) else tuple(space.shape or ())
        return states, int(getattr(actions, "n", 0))
