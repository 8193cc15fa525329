"""n-step returns of windows of consecutive steps. `B` rows, `T` steps in a window."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from polyrl.ops.inputs import on_tensors
from polyrl.ops.shapes import check_shapes


class NStepReturn(NamedTuple):
    """A single transition that replaces up to `T` steps.

    `reward` `[B]`, the discounted sum; `discount` `[B]`, the factor on the bootstrap value, `gamma^steps`, zero where the
    episode terminated; `steps` int32 `[B]`, the number of steps in the sum: the bootstrap state follows step `steps - 1`.
    """

    reward: tf.Tensor
    discount: tf.Tensor
    steps: tf.Tensor


@on_tensors
def n_step_return(reward: tf.Tensor, terminated: tf.Tensor, truncated: tf.Tensor, gamma: float) -> NStepReturn:
    """Sums rewards up to the end of the window or of the episode, whichever comes first (Sutton and Barto 2018, eq. 7.1).

    `R = sum_{k < steps} gamma^k r_k`. The step that ends the episode counts, later steps in the window do not. A terminated
    episode does not bootstrap, a truncated one does.

    Args:
        reward: `[B, T]`.
        terminated: whether step `t` terminated the episode, bool or float `[B, T]`.
        truncated: whether step `t` truncated the episode, bool or float `[B, T]`.
        gamma: the discount factor of one step.
    """
    check_shapes(reward=(reward, "BT"), terminated=(terminated, "BT"), truncated=(truncated, "BT"))
    terminated, truncated = tf.cast(terminated, reward.dtype), tf.cast(truncated, reward.dtype)
    ended = tf.maximum(terminated, truncated)  # [B, T]
    within = tf.math.cumprod(1.0 - ended, axis=1, exclusive=True)  # [B, T], 1 up to and including the ending step
    powers = tf.pow(tf.cast(gamma, reward.dtype), tf.range(tf.shape(reward)[1], dtype=reward.dtype))  # [T]
    steps = tf.reduce_sum(within, axis=1)  # [B]
    survived = 1.0 - tf.reduce_max(within * terminated, axis=1)  # [B]
    bootstrap = tf.pow(tf.cast(gamma, reward.dtype), steps) * survived
    # Multiplication alone would not do: rewards after the end may be anything, even NaN.
    counted = tf.where(within > 0.0, powers * reward, tf.zeros_like(reward))
    return NStepReturn(tf.reduce_sum(counted, axis=1), bootstrap, tf.cast(steps, tf.int32))
