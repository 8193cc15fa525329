"""Observations as states for a model: an array `[N, ...]`, or a dict of such arrays with the key `state`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space

MASK = "action_mask"
NEXT = "next_"
TAKEN = ("action", "reward", "done", "truncated", "discount", "weights", "index", "step_type", "valid", "network_state")
"""Keys that an observation cannot have, as a transition uses them for something else."""

FEW = 64
"""Numbers up to which Python's sum is quicker than NumPy's, which takes 3 microseconds between two calls of TensorFlow."""


def as_features(state: Any) -> dict[str, Any]:
    """The features of a model for a state, which is an array or a dict of arrays."""
    return dict(state) if isinstance(state, Mapping) else {"state": state}


def next_labels(next_state: Any) -> dict[str, Any]:
    """The labels of a model for a next state; each key becomes `next_<key>`."""
    return {f"{NEXT}{key}": value for key, value in as_features(next_state).items()}


def split_columns(columns: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits the columns of transitions into features and labels.

    Features are those with a `next_` column, and what a recurrent network remembers.
    """
    features = {key: value for key, value in columns.items() if f"{NEXT}{key}" in columns or key == "network_state"}
    return features, {key: value for key, value in columns.items() if key not in features}


def check_observation_space(space: Space[Any], num_actions: int) -> None:
    """Raises a TypeError, or a ValueError for too many states, that says what to do, if the space is not supported."""
    for part in space.spaces.values() if isinstance(space, Dict) else (space,):
        if isinstance(part, Discrete) and part.n > 2**31:
            raise ValueError(
                f"The observation space {part} has more states than int32 can count, 2**31; describe them by a Box of numbers "
                "with gymnasium.wrappers.TransformObservation."
            )
    if isinstance(space, (Box, Discrete)):
        return
    if not isinstance(space, Dict):
        raise TypeError(
            f"The observation space {space} is neither a Box nor Discrete(n); wrap the environment with "
            "gymnasium.wrappers.FlattenObservation."
        )
    if "state" not in space.spaces and {"image", "mission"} <= set(space):
        raise TypeError(
            f"The observation space {space} has no key 'state'. It is MiniGrid's: to learn from the image alone, wrap the "
            "environment, GymEnvironment(env_id, wrappers=['minigrid.wrappers:ImgObsWrapper']), on the command line "
            "--wrappers=minigrid.wrappers:ImgObsWrapper. Its numbers name kinds of objects: cnn(categories=11), or "
            "--categories=11."
        )
    if not isinstance(space.get("state"), (Box, Discrete)):
        flat = ", or flatten it to one Box with gymnasium.wrappers.FlattenObservation"
        if MASK in space.spaces:  # It would be flattened with the rest.
            flat = f". The key {MASK!r} stays as it is"
        raise TypeError(
            f"The observation space {space} has neither a Box nor a Discrete(n) under the key 'state'; rename the key of its "
            f"main part with gymnasium.wrappers.TransformObservation{flat}."
        )
    for key, part in space.items():
        if key in TAKEN or key.startswith(NEXT):
            raise TypeError(
                f"The observation space has the key {key!r}, which a transition uses for something else; rename it with "
                "gymnasium.wrappers.TransformObservation."
            )
        if not isinstance(part, (Box, Discrete, MultiBinary, MultiDiscrete)):
            raise TypeError(
                f"The observation space has {part} under the key {key!r}; expected a Box, Discrete, MultiBinary or "
                "MultiDiscrete. Flatten that part with gymnasium.wrappers.TransformObservation."
            )
    mask = space.get(MASK)
    if mask is not None and (mask.shape != (num_actions,) or np.dtype(mask.dtype).kind not in "biu"):
        raise TypeError(
            f"The observation space has {mask} under the key {MASK!r}; expected one integer or bool for each of the "
            f"{num_actions} actions, as MultiBinary({num_actions})."
        )


def kept_dtype(space: Space[Any]) -> np.dtype[Any]:
    """The dtype of stored observations: that of the space, but float32 for float64, and int32 for discrete states.

    Raises:
        TypeError: for a space whose observations are not arrays.
    """
    if space.shape is None:
        raise TypeError(f"The observation space {space} has no shape.")
    if isinstance(space, Discrete):
        return np.dtype(np.int32)
    return np.dtype(np.float32) if space.dtype == np.float64 else np.dtype(space.dtype)


def all_finite(values: np.ndarray) -> bool:
    """Whether none of the numbers is NaN or infinite."""
    # The sum is quick, and not finite if a value is not; it may also overflow, so the values decide.
    total = sum(values.ravel().tolist()) if values.size <= FEW else np.add.reduce(values, axis=None)
    return math.isfinite(total) or bool(np.isfinite(values).all())


def legal_actions(mask: Any, num_actions: int, num_envs: int, envs: np.ndarray | None, when: str) -> np.ndarray:
    """Checks the action masks of environments and returns them as bool `[N, A]`, True where an action is legal.

    Args:
        mask: indexed by environment, `[A]` each: bools or integers, nonzero where an action is legal.
        num_actions: `A`.
        num_envs: `N`.
        envs: indices of the environments to check; the rows of the others are True. None: all environments.
        when: the step, for the error message.

    Raises:
        ValueError: if a mask has another shape or dtype, or no legal action; the message names the environments.
    """
    if envs is None and isinstance(mask, np.ndarray) and mask.shape == (num_envs, num_actions) and mask.dtype.kind in "biu":
        legal = mask != 0
    else:
        legal = np.ones([num_envs, num_actions], np.bool_)
        for env in range(num_envs) if envs is None else envs:
            try:
                row = np.asarray(mask[env])
            except ValueError:  # Rows of different lengths.
                row = np.asarray(None)
            if row.shape != (num_actions,) or row.dtype.kind not in "biu":
                raise ValueError(
                    f"Environment {env} returned the {MASK} {mask[env]!r} {when}; expected an array of {num_actions} integers "
                    "or bools, one for each action. Nothing of this step was stored."
                )
            legal[env] = row != 0
    if not legal.any(axis=1).all():
        stuck = np.flatnonzero(~legal.any(axis=1)).tolist()
        raise ValueError(
            f"The {MASK} leaves environments {stuck} no legal action {when}. A state without a legal action must be terminal. "
            "Nothing of this step was stored."
        )
    return legal
