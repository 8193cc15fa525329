"""Quantile value distributions: QR-DQN (Dabney et al. 2018a), IQN (2018b). `B` rows, `A` actions, `N` and `M` quantiles."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from polyrl.ops.categorical import SMALLEST_RISK_LEVEL
from polyrl.ops.inputs import on_tensors
from polyrl.ops.shapes import check_shapes
from polyrl.ops.value import LossOutput, select_values
from polyrl.validation import check_int


@on_tensors
def quantile_midpoints(num_quantiles: int) -> tf.Tensor:
    """The fractions `(i + 1/2) / N`, at which quantiles are estimated with the least error: float32 `[N]` (2018a, lemma 2)."""
    count = check_int("num_quantiles", num_quantiles, minimum=1)
    if count >= 2**24:
        raise ValueError(f"num_quantiles={num_quantiles} must be below 2**24: float32 could not tell them apart.")
    return (tf.range(count, dtype=tf.float32) + 0.5) / count


@on_tensors
def quantile_huber_loss(target: tf.Tensor, quantiles: tf.Tensor, fractions: tf.Tensor, kappa: float = 1.0) -> tf.Tensor:
    """`sum_i mean_j |fraction_i - 1{u_ij < 0}| huber(u_ij) / kappa`, with `u_ij = target_j - quantile_i` (2018a, eq. 10).

    Args:
        target: samples of the target distribution, `[B, M]`.
        quantiles: the estimates, `[B, N]`.
        fractions: which quantiles they are, in (0, 1), `[B, N]`.
        kappa: where the Huber loss turns from a square to a line; 0 is quantile regression, `|fraction - 1{u < 0}| |u|`.

    Returns:
        The loss of each row, `[B]`.
    """
    check_shapes(target=(target, "BM"), quantiles=(quantiles, "BN"), fractions=(fractions, "BN"))
    error = target[:, tf.newaxis, :] - quantiles[:, :, tf.newaxis]  # [B, N, M]
    size = tf.abs(error)
    if isinstance(kappa, float) and kappa == 0.0:
        huber = size
    else:
        huber = tf.where(size <= kappa, 0.5 * tf.square(error) / kappa, size - 0.5 * kappa)
    weight = tf.abs(fractions[:, :, tf.newaxis] - tf.cast(error < 0.0, error.dtype))  # [B, N, M]
    return tf.reduce_sum(tf.reduce_mean(weight * huber, axis=2), axis=1)


@on_tensors
def quantile_td_loss(
    quantiles: tf.Tensor,
    fractions: tf.Tensor,
    action: tf.Tensor,
    reward: tf.Tensor,
    discount: tf.Tensor,
    bootstrap: tf.Tensor,
    kappa: float = 1.0,
    compare: Callable[..., tf.Tensor] = quantile_huber_loss,
) -> LossOutput:
    """The quantile loss of `quantiles[action]` against `reward + discount * bootstrap`.

    Args:
        quantiles: online estimates of the state, `[B, A, N]`; the only argument that gets a gradient.
        fractions: which quantiles they are, `[B, N]`.
        action: int `[B]`.
        reward: `[B]`.
        discount: `[B]`, zero where the episode terminated.
        bootstrap: samples of the next state's return, `[B, M]`.
        kappa: see `quantile_huber_loss`.
        compare: `quantile_huber_loss`, or another implementation of the same formula.

    Returns:
        `target`, `td_error` and `prediction` refer to the means.
    """
    check_shapes(
        quantiles=(quantiles, "BAN"),
        fractions=(fractions, "BN"),
        action=(action, "B"),
        reward=(reward, "B"),
        discount=(discount, "B"),
        bootstrap=(bootstrap, "BM"),
    )
    chosen = select_values(quantiles, action)  # [B, N]
    target = tf.stop_gradient(reward[:, tf.newaxis] + discount[:, tf.newaxis] * bootstrap)  # [B, M]
    loss = compare(target, chosen, tf.stop_gradient(fractions), kappa)
    target_value, prediction = tf.reduce_mean(target, axis=1), tf.reduce_mean(chosen, axis=1)
    return LossOutput(loss, target_value, target_value - prediction, prediction)


@on_tensors
def quantile_q_learning(
    quantiles: tf.Tensor,
    fractions: tf.Tensor,
    action: tf.Tensor,
    reward: tf.Tensor,
    discount: tf.Tensor,
    next_quantiles: tf.Tensor,
    next_q_selector: tf.Tensor,
    kappa: float = 1.0,
    compare: Callable[..., tf.Tensor] = quantile_huber_loss,
) -> LossOutput:
    """Quantile Q-learning: the target has the quantiles of the best next action (2018a, algorithm 1; 2018b, eq. 3).

    Args:
        quantiles: online estimates of the state, `[B, A, N]`; the only argument that gets a gradient.
        fractions: which quantiles they are, `[B, N]`.
        action: int `[B]`.
        reward: `[B]`.
        discount: `[B]`, zero where the episode terminated.
        next_quantiles: of the next state, from the target network, `[B, A, M]`.
        next_q_selector: action values `[B, A]` that select the next action: the target network's, for double Q-learning the
            online network's.
        kappa: see `quantile_huber_loss`.
        compare: `quantile_huber_loss`, or another implementation of the same formula.
    """
    check_shapes(quantiles=(quantiles, "BAN"), next_quantiles=(next_quantiles, "BAM"), next_q_selector=(next_q_selector, "BA"))
    next_action = tf.argmax(next_q_selector, axis=1, output_type=tf.int32)  # [B]
    bootstrap = select_values(next_quantiles, next_action)  # [B, M]
    return quantile_td_loss(quantiles, fractions, action, reward, discount, bootstrap, kappa, compare)


@on_tensors
def quantile_value_at_risk(quantiles: tf.Tensor, level: float) -> tf.Tensor:
    """The mean of the lowest of equally likely returns that together have probability `level`: `[B, A, N]` to `[B, A]`.

    See `conditional_value_at_risk`. The estimates need not be in order.

    Raises:
        ValueError: if the level is not in [1e-6, 1].
    """
    if not SMALLEST_RISK_LEVEL <= level <= 1.0:
        raise ValueError(f"level={level} must lie in [{SMALLEST_RISK_LEVEL}, 1].")
    check_shapes(quantiles=(quantiles, "BAN"))
    ordered = tf.sort(quantiles, axis=-1)
    count = tf.cast(tf.shape(quantiles)[-1], quantiles.dtype)
    below = tf.range(count, dtype=quantiles.dtype) / count
    share = tf.minimum(tf.maximum(level - below, 0.0), 1.0 / count)  # [N]
    return tf.reduce_sum(ordered * share, axis=-1) / level
