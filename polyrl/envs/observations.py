"""What an environment observes as a learner is given it: an array `[N, ...]`, or a dict of such with the key `state`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space

MASK = "action_mask"
NEXT = "next_"
TAKEN = ("action", "reward", "done", "truncated", "discount", "weights", "index")
"""Names that a transition has for other things than observations."""


def as_features(state: Any) -> dict[str, Any]:
    """A state, an array or a dict of arrays, as the features of a model."""
    return dict(state) if isinstance(state, Mapping) else {"state": state}


def next_labels(next_state: Any) -> dict[str, Any]:
    """The next state as labels: each key is called `next_<key>`."""
    return {f"{NEXT}{key}": value for key, value in as_features(next_state).items()}


def split_columns(columns: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns of transitions as features and labels; features are those of which the next state has one, too."""
    features = {key: value for key, value in columns.items() if f"{NEXT}{key}" in columns}
    return features, {key: value for key, value in columns.items() if key not in features}


def check_observation_space(space: Space[Any], num_actions: int) -> None:
    """Refuses an observation space that no model here can serve, with a TypeError that says what would do."""
    if isinstance(space, (Box, Discrete)):
        return
    if not isinstance(space, Dict):
        raise TypeError(
            f"The observation space {space} is neither a Box nor Discrete(n); wrap the environment with "
            "gymnasium.wrappers.FlattenObservation."
        )
    if not isinstance(space.get("state"), (Box, Discrete)):
        raise TypeError(
            f"The observation space {space} has no Box and no Discrete(n) under the key 'state'; rename its main part to that "
            "with gymnasium.wrappers.TransformObservation, or make one Box of it all with its FlattenObservation."
        )
    for key, part in space.items():
        if key in TAKEN or key.startswith(NEXT):
            raise TypeError(
                f"The observation space has the key {key!r}, which names something else in a transition; rename it with "
                "gymnasium.wrappers.TransformObservation."
            )
        if not isinstance(part, (Box, Discrete, MultiBinary, MultiDiscrete)):
            raise TypeError(
                f"The observation space has {part} under the key {key!r}; asked for is a Box, Discrete, MultiBinary or "
                "MultiDiscrete: flatten that part with gymnasium.wrappers.TransformObservation."
            )
    mask = space.get(MASK)
    if mask is not None and (mask.shape != (num_actions,) or np.dtype(mask.dtype).kind not in "biu"):
        raise TypeError(
            f"The observation space has {mask} under the key {MASK!r}; asked for is one integer or bool for each of the "
            f"{num_actions} actions, as MultiBinary({num_actions})."
        )


def kept_dtype(space: Space[Any]) -> np.dtype[Any]:
    """The dtype in which observations are kept: that of the space, but float32 for float64, and int32 for numbers.

    Raises:
        TypeError: for a space whose observations are no arrays.
    """
    if space.shape is None:
        raise TypeError(f"The observation space {space} has no shape.")
    if isinstance(space, Discrete):
        return np.dtype(np.int32)
    return np.dtype(np.float32) if space.dtype == np.float64 else np.dtype(space.dtype)


def legal_actions(mask: Any, num_actions: int, num_envs: int, envs: np.ndarray | None, when: str) -> np.ndarray:
    """Masks as environments give them, checked: bool `[N, A]`.

    Args:
        mask: by environment, `[A]` each: bools or integers, nonzero where an action is legal.
        num_actions: `A`.
        num_envs: `N`.
        envs: the environments that are asked; in the rows of the others all is legal. None: all of them.
        when: for the message.

    Raises:
        ValueError: names the environments that gave a mask of another shape or dtype, or none with a legal action.
    """
    if envs is None and isinstance(mask, np.ndarray) and mask.shape == (num_envs, num_actions) and mask.dtype.kind in "biu":
        legal = mask != 0
    else:
        legal = np.ones([num_envs, num_actions], np.bool_)
        for env in range(num_envs) if envs is None else envs:
            row = np.asarray(mask[env])
            if row.shape != (num_actions,) or row.dtype.kind not in "biu":
                raise ValueError(
                    f"Environment {env} gave the {MASK} {mask[env]!r} {when}; asked for is an array of {num_actions} integers "
                    "or bools, one for each action. Nothing of this step was stored."
                )
            legal[env] = row != 0
    if not legal.any(axis=1).all():
        stuck = np.flatnonzero(~legal.any(axis=1)).tolist()
        raise ValueError(
            f"The {MASK} leaves environments {stuck} no legal action {when}. A state where nothing is legal must be terminal. "
            "Nothing of this step was stored."
        )
    return legal
