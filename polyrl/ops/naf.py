"""Normalized advantage functions (Gu et al. 2016, arXiv:1603.00748): Q-learning with continuous actions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from polyrl.ops.exploration import normal
from polyrl.ops.inputs import on_tensors
from polyrl.ops.shapes import check_shapes
from polyrl.ops.value import LossOutput


@on_tensors
def scale_tril(entries: tf.Tensor) -> tf.Tensor:
    """A lower triangular `L` `[B, k, k]` from `entries` `[B, k (k + 1) / 2]`; the diagonal entries are exponentiated.

    So `P = L L^T` is positive definite for any entries. They are placed as by `tfp.math.fill_triangular`.

    Raises:
        ValueError: if their number is not known, or not that of a triangle.
    """
    check_shapes(entries=(entries, "BE"))
    count = entries.shape[1]
    size = 0 if count is None else math.isqrt(2 * count)
    if count is None or size * (size + 1) // 2 != count:
        raise ValueError(f"entries has shape {tuple(entries.shape)}; expected [B, k (k + 1) / 2].")
    order = np.arange(count)
    places = np.concatenate([order[size:], order[::-1]]).reshape([size, size])
    # Column by column: XLA differentiates a stack also if the number of rows is not known, a slice it does not.
    columns = tf.unstack(entries, axis=1)
    zero = tf.zeros_like(columns[0])

    def element(row: int, column: int) -> tf.Tensor:
        if column > row:
            return zero
        value = columns[places[row, column]]
        return tf.exp(value) if column == row else value

    rows = [tf.stack([element(row, column) for column in range(size)], axis=1) for row in range(size)]
    return tf.stack(rows, axis=1)


@on_tensors
def normalized_advantage(action: tf.Tensor, mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """`A(s, a) = -1/2 (a - mean)^T L L^T (a - mean)` (equation 6), `[B]`: never positive, and 0 at `a = mean`.

    Args:
        action: `[B, k]`.
        mean: the greedy action, `[B, k]`.
        scale: `L`, `[B, k, k]`.
    """
    check_shapes(action=(action, "BK"), mean=(mean, "BK"), scale=(scale, "BKK"))
    stretched = tf.linalg.matvec(scale, action - mean, transpose_a=True)  # L^T (a - mean), [B, k]
    return -0.5 * tf.reduce_sum(tf.square(stretched), axis=1)


@on_tensors
def sample_normalized(mean: tf.Tensor, scale: tf.Tensor, temperature: float, seed: tf.Tensor) -> tf.Tensor:
    """Actions `[B, k]` with a density proportional to `exp(Q(s, .) / temperature)`: a normal distribution.

    Its covariance is `temperature * (L L^T)^-1`.

    Args:
        mean: the greedy action, `[B, k]`, which is also the result at temperature 0.
        scale: `L`, `[B, k, k]`.
        temperature: not negative, in units of the action values.
        seed: int `[2]`; the same seed gives the same actions.
    """
    check_shapes(mean=(mean, "BK"), scale=(scale, "BKK"))
    noise = math.sqrt(temperature) * normal(tf.shape(mean), seed)
    return mean + tf.linalg.triangular_solve(scale, noise[..., tf.newaxis], adjoint=True)[..., 0]


@on_tensors
def normalized_q_learning(
    advantage: tf.Tensor,
    value: tf.Tensor,
    reward: tf.Tensor,
    discount: tf.Tensor,
    next_value: tf.Tensor,
    loss_fn: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> LossOutput:
    """The loss of `Q(s, a) = V(s) + A(s, a)` against `reward + discount * V(s')`: the greedy next action has advantage 0.

    Args:
        advantage: advantage of the actions taken, `[B]`; it gets a gradient, and so does `value`.
        value: value of the state, `[B]`.
        reward: `[B]`.
        discount: factor on the bootstrap value, zero where the episode terminated, `[B]`.
        next_value: value of the next state, from the target network, `[B]`.
        loss_fn: `loss_fn(target, prediction)`, element-wise.
    """
    check_shapes(
        advantage=(advantage, "B"),
        value=(value, "B"),
        reward=(reward, "B"),
        discount=(discount, "B"),
        next_value=(next_value, "B"),
    )
    prediction = value + advantage
    target = tf.stop_gradient(reward + discount * next_value)
    return LossOutput(loss_fn(target, prediction), target, target - prediction, prediction)
