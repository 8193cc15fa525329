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


@on_tensors
def lambda_return(
    reward: tf.Tensor, discount: tf.Tensor, truncated: tf.Tensor, next_value: tf.Tensor, trace_decay: float
) -> tf.Tensor:
    """`G_t = r_t + discount_t ((1 - lambda) next_value_t + lambda G_{t + 1})`, `[B, T]` (Sutton and Barto 2018, eq. 12.2).

    With `next_value` the value of the best next action it is Peng's Q(lambda) (Peng and Williams 1996). The last step, and one
    that truncates an episode, has `r_t + discount_t next_value_t`. No gradient flows.

    Args:
        reward: `[B, T]`.
        discount: `[B, T]`, zero where the episode terminated.
        truncated: whether step `t` truncated the episode, bool or float `[B, T]`.
        next_value: the value of the state after step `t`, `[B, T]`.
        trace_decay: lambda, in [0, 1].
    """
    check_shapes(reward=(reward, "BT"), discount=(discount, "BT"), truncated=(truncated, "BT"), next_value=(next_value, "BT"))
    continues = 1.0 - tf.cast(truncated, reward.dtype)  # [B, T]
    length = reward.shape[1]
    last = tf.one_hot(length - 1, length, dtype=reward.dtype)  # [T]
    carried = tf.constant(trace_decay, reward.dtype) * continues * (1.0 - last)
    term = reward + discount * (1.0 - carried) * next_value
    factor = discount * carried
    ahead = 1
    while ahead < length:  # Each pass doubles the steps that are looked ahead.
        zeros = tf.zeros_like(term[:, :ahead])
        term += factor * tf.concat([term[:, ahead:], zeros], axis=1)
        factor *= tf.concat([factor[:, ahead:], zeros], axis=1)
        ahead *= 2
    return tf.stop_gradient(term)
