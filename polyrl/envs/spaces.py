"""What a model has to know of an environment: how many states and actions."""

from __future__ import annotations

from typing import Any

from gymnasium.spaces import Dict, Discrete

from polyrl.envs.gym import EnvLike, open_env


def num_states_and_actions(env: EnvLike) -> tuple[Any, int]:
    """The `num_states` and `num_actions` of a model for an environment.

    `num_states` is the n of a `Discrete(n)` observation space, whose states are then the integers from 0 to n - 1, and the
    shape of a `Box`; of a `Dict` it is that of its `state`.

    Args:
        env: whatever `Agent.train` takes; one instance is opened and closed again, an open one is looked at only.

    Raises:
        TypeError: for spaces that no model here can serve.
    """
    vector, owned = open_env(env, num_envs=1)
    try:
        space, actions = vector.single_observation_space, vector.single_action_space
        space = space["state"] if isinstance(space, Dict) else space
        states = int(space.n) if isinstance(space, Discrete) else tuple(space.shape or ())
        return states, int(getattr(actions, "n", 0))
    finally:
        if owned:
            vector.close()
