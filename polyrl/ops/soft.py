"""Targets that weigh all next actions: expected SARSA and Munchausen Q-learning. `B` rows, `A` actions, `M` quantiles."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from polyrl.ops.inputs import on_tensors
from polyrl.ops.shapes import check_actions, check_shapes
from polyrl.ops.value import select_values


@on_tensors
def epsilon_greedy_value(q: tf.Tensor, epsilon: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """The value of acting epsilon-greedily, `(1 - epsilon) max_a q[a] + epsilon mean_a q[a]` over legal actions, `[B]`.

    It is the bootstrap of expected SARSA (van Seijen et al. 2009, eq. 5).

    Args:
        q: `[B, A]`.
        epsilon: scalar in [0, 1].
        mask: the legal actions, bool `[B, A]`; None: all are legal. Without a legal action the value is 0.
    """
    epsilon = tf.cast(epsilon, q.dtype)
    check_shapes(q=(q, "BA"), epsilon=(epsilon, ""))
    if mask is None:
        return (1.0 - epsilon) * tf.reduce_max(q, axis=1) + epsilon * tf.reduce_mean(q, axis=1)
    check_shapes(q=(q, "BA"), mask=(mask, "BA"))
    number = tf.reduce_sum(tf.cast(mask, q.dtype), axis=1)  # [B]
    mean = tf.reduce_sum(tf.where(mask, q, tf.zeros_like(q)), axis=1) / tf.maximum(number, 1.0)
    best = tf.reduce_max(tf.where(mask, q, tf.fill(tf.shape(q), q.dtype.min)), axis=1)
    return tf.where(number > 0.0, (1.0 - epsilon) * best + epsilon * mean, tf.zeros_like(mean))


class SoftPolicy(NamedTuple):
    """`softmax(q / temperature)`: `probabilities` `[B, A]`, and `scaled_log` `[B, A]`, the temperature times their log."""

    probabilities: tf.Tensor
    scaled_log: tf.Tensor


@on_tensors
def soft_policy(q: tf.Tensor, temperature: float) -> SoftPolicy:
    """The softmax policy of action values `[B, A]`, computed without overflow (Vieillard et al. 2020, appendix B.1).

    An action whose value is the lowest of its dtype, as illegal ones have it, has probability 0, and `scaled_log` 0.
    """
    check_shapes(q=(q, "BA"))
    if isinstance(temperature, float) and temperature == 0.0:
        raise ValueError(f"temperature={temperature} must be above 0.")
    legal = q > q.dtype.min
    difference = tf.where(legal, q - tf.reduce_max(q, axis=1, keepdims=True), tf.zeros_like(q))
    logits = tf.where(legal, difference / temperature, tf.fill(tf.shape(q), tf.constant(-1e9, q.dtype)))
    scaled = difference - temperature * tf.reduce_logsumexp(logits, axis=1, keepdims=True)
    return SoftPolicy(tf.nn.softmax(logits), tf.where(legal, scaled, tf.zeros_like(q)))


@on_tensors
def munchausen_reward(
    target_q: tf.Tensor, action: tf.Tensor, temperature: float = 0.03, scale: float = 0.9, lowest: float = -1.0
) -> tf.Tensor:
    """`scale * clip(temperature * log pi(action), lowest, 0)`, which is added to a reward, `[B]` (Vieillard et al. 2020).

    Args:
        target_q: the target network's action values of the state, `[B, A]`; `pi` is their softmax policy.
        action: the action taken, int `[B]`.
        temperature: of the policy, in units of the action values.
        scale: alpha in the paper.
        lowest: where the logarithm, times the temperature, is clipped; at most 0.
    """
    if isinstance(lowest, float) and not lowest <= 0.0:
        raise ValueError(f"lowest={lowest} must be at most 0.")
    check_shapes(target_q=(target_q, "BA"), action=(action, "B"))
    check_actions(action, target_q.shape[1])
    log_policy = select_values(soft_policy(target_q, temperature).scaled_log, action)
    return tf.stop_gradient(scale * tf.clip_by_value(log_policy, lowest, 0.0))


@on_tensors
def soft_bootstrap(next_q: tf.Tensor, temperature: float = 0.03, next_quantiles: tf.Tensor | None = None) -> tf.Tensor:
    """`sum_a pi(a) (z(a) - temperature * log pi(a))`, where `pi` is the softmax policy of `next_q` (Vieillard et al. 2020).

    Args:
        next_q: the target network's action values of the next state, `[B, A]`.
        temperature: of the policy.
        next_quantiles: `z`, `[B, A, M]`; None: `next_q` itself.

    Returns:
        `[B]`, or `[B, M]` with quantiles.
    """
    check_shapes(next_q=(next_q, "BA"))
    policy = soft_policy(next_q, temperature)
    if next_quantiles is None:
        values = tf.where(policy.probabilities > 0.0, next_q - policy.scaled_log, tf.zeros_like(next_q))
        return tf.stop_gradient(tf.reduce_sum(policy.probabilities * values, axis=1))
    check_shapes(next_q=(next_q, "BA"), next_quantiles=(next_quantiles, "BAM"))
    values = next_quantiles - policy.scaled_log[:, :, tf.newaxis]
    return tf.stop_gradient(tf.reduce_sum(policy.probabilities[:, :, tf.newaxis] * values, axis=1))
