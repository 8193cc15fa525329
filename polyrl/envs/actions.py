"""The spec of an environment's actions, which a model's must equal."""

from __future__ import annotations

import gymnasium
import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.policies.specs import BoundedTensorSpec


def action_spec(space: gymnasium.Space) -> BoundedTensorSpec:
    """The spec of one action: int32 `[]` from 0 to `n - 1` for a `Discrete(n)`, float32 `[k]` for a `Box` of shape `(k,)`.

    Raises:
        TypeError: for another kind of space, or a `Box` that has another rank, an integer dtype or no bounds.
        ValueError: for a `Discrete` with actions beyond int32.
    """
    if isinstance(space, Discrete):
        if space.start < -(2**31) or space.start + space.n > 2**31:
            raise ValueError(
                f"The action space {space} has the actions {space.start} to {space.start + space.n - 1}, which int32 cannot "
                "hold; map them to smaller numbers with a gymnasium.ActionWrapper."
            )
        return BoundedTensorSpec((), tf.int32, 0, int(space.n) - 1, name="action")
    if not isinstance(space, Box):
        raise TypeError(
            f"The action space {space} is not supported: expected a Discrete(n), or a Box of rank 1. Map it to one of these "
            "with a gymnasium.ActionWrapper."
        )
    if len(space.shape) != 1 or not np.issubdtype(space.dtype, np.floating):
        raise TypeError(f"The action space {space} must have rank 1 and a float dtype; use a gymnasium.ActionWrapper.")
    if not space.is_bounded():
        raise TypeError(f"The action space {space} has no bounds; set finite ones with gymnasium.wrappers.TransformAction.")
    low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    return BoundedTensorSpec(space.shape, tf.float32, low, high, name="action")
