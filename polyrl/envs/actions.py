"""What an environment takes as an action, as a spec: that of a model must be the same."""

from __future__ import annotations

import gymnasium
import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from polyrl.policies.specs import BoundedTensorSpec


def action_spec(space: gymnasium.Space) -> BoundedTensorSpec:
    """The spec of one action: int32 `[]` from 0 to `n - 1` for a `Discrete(n)`, float32 `[k]` for a `Box` of `k` numbers.

    Raises:
        TypeError: for a space of another kind, a `Box` of another shape or of integers, or one without bounds.
    """
    if isinstance(space, Discrete):
        return BoundedTensorSpec((), tf.int32, 0, int(space.n) - 1, name="action")
    if not isinstance(space, Box):
        raise TypeError(
            f"The action space {space} is none that a Q model can serve: it needs one Discrete(n), or a Box of one row of "
            "numbers. Flatten the choices into one with a gymnasium.ActionWrapper."
        )
    if len(space.shape) != 1 or not np.issubdtype(space.dtype, np.floating):
        raise TypeError(f"The action space {space} must be one row of floating-point numbers; use a gymnasium.ActionWrapper.")
    if not space.is_bounded():
        raise TypeError(f"The action space {space} has no bounds; set some with gymnasium.wrappers.RescaleAction.")
    low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    return BoundedTensorSpec(space.shape, tf.float32, low, high, name="action")
