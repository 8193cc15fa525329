"""Target-network averages."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from polyrl.ops.inputs import on_tensors


@on_tensors
def polyak_average(source: Sequence[tf.Tensor], target: Sequence[tf.Tensor], tau: float) -> list[tf.Tensor]:
    """`tau * source + (1 - tau) * target`, tensor by tensor (Lillicrap et al. 2015, Algorithm 1).

    `tau=1` gives the source exactly, `tau=0` the target.

    Raises:
        ValueError: if `tau` is outside [0, 1], or the two differ in number or shape; the message names the first difference.
    """
    if not 0.0 <= tau <= 1.0:
        raise ValueError(f"tau={tau} must lie in [0, 1].")
    if len(source) != len(target):
        raise ValueError(f"source has {len(source)} tensors, target has {len(target)}; they must match one to one.")
    for index, (new, old) in enumerate(zip(source, target, strict=True)):
        if not new.shape.is_compatible_with(old.shape):
            raise ValueError(f"tensor {index} has shape {tuple(new.shape)} in source, {tuple(old.shape)} in target.")
    if tau == 1.0:
        return [tf.identity(new) for new in source]
    if tau == 0.0:
        return [tf.identity(old) for old in target]
    return [tau * new + (1.0 - tau) * old for new, old in zip(source, target, strict=True)]
