"""Temporal-difference losses over action values. Everything is batched: `B` rows, `A` actions.

`discount` is the factor on the bootstrap value: `gamma * (1 - terminated)` for one step, `gamma^n * (1 - terminated)` for n
steps. A truncated episode keeps its bootstrap (Pardo et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from polyrl.ops.shapes import check_shapes


class LossOutput(NamedTuple):
    """A loss for each example, and what it was made of; nobody has averaged or weighted it yet.

    `loss` `[B]`; `target` `[B]` (no gradient flows into it); `td_error` `[B]`, target minus prediction; `prediction`
    `[B]`, the value of the action taken.
    """

    loss: tf.Tensor
    target: tf.Tensor
    td_error: tf.Tensor
    prediction: tf.Tensor


def select_action(values: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
    """`values[b, action[b], ...]`: `[B, A, ...]` and `[B]` to `[B, ...]`."""
    check_shapes(values=(values, "BANXYZ"[: values.shape.rank]), action=(action, "B"))
    # A sum over a mask and not a gather, whose gradient is a scatter: slow in a compiled update.
    chosen = tf.equal(tf.cast(action, tf.int32)[:, tf.newaxis], tf.range(tf.shape(values)[1]))  # [B, A]
    chosen = tf.reshape(chosen, [*tf.unstack(tf.shape(chosen)), *[1] * (values.shape.rank - 2)])
    return tf.reduce_sum(tf.where(chosen, values, tf.zeros_like(values)), axis=1)


def td_loss(
    q: tf.Tensor,
    action: tf.Tensor,
    reward: tf.Tensor,
    discount: tf.Tensor,
    bootstrap: tf.Tensor,
    loss_fn: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> LossOutput:
    """The loss of `q[action]` against `reward + discount * bootstrap`.

    Args:
        q: action values of the state, `[B, A]`; the only argument that gets a gradient.
        action: the actions taken, int `[B]`.
        reward: `[B]`.
        discount: the factor on the bootstrap, zero where the episode terminated, `[B]`.
        bootstrap: the value of the next state, `[B]`.
        loss_fn: `loss_fn(target, prediction)`, element-wise.
    """
    check_shapes(q=(q, "BA"), action=(action, "B"), reward=(reward, "B"), discount=(discount, "B"), bootstrap=(bootstrap, "B"))
    prediction = select_action(q, action)  # [B]
    target = tf.stop_gradient(reward + discount * bootstrap)  # [B]
    return LossOutput(loss_fn(target, prediction), target, target - prediction, prediction)


def q_learning(
    q: tf.Tensor,
    action: tf.Tensor,
    reward: tf.Tensor,
    discount: tf.Tensor,
    next_q: tf.Tensor,
    loss_fn: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> LossOutput:
    """Q-learning: the target is `reward + discount * max_a next_q[a]` (Watkins 1989; Mnih et al. 2015, Algorithm 1).

    Args:
        q: online action values of the state, `[B, A]`.
        action: int `[B]`.
        reward: `[B]`.
        discount: `[B]`.
        next_q: action values of the next state, from the target network, `[B, A]`.
        loss_fn: `loss_fn(target, prediction)`, element-wise.
    """
    check_shapes(q=(q, "BA"), next_q=(next_q, "BA"))
    return td_loss(q, action, reward, discount, tf.reduce_max(next_q, axis=1), loss_fn)


def double_q_learning(
    q: tf.Tensor,
    action: tf.Tensor,
    reward: tf.Tensor,
    discount: tf.Tensor,
    next_q: tf.Tensor,
    next_q_selector: tf.Tensor,
    loss_fn: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> LossOutput:
    """Double Q-learning: `reward + discount * next_q[argmax_a next_q_selector[a]]` (van Hasselt et al. 2016, eq. 4).

    Args:
        q: online action values of the state, `[B, A]`.
        action: int `[B]`.
        reward: `[B]`.
        discount: `[B]`.
        next_q: action values of the next state, from the target network, `[B, A]`.
        next_q_selector: action values of the next state, from the online network, `[B, A]`; they choose the action.
        loss_fn: `loss_fn(target, prediction)`, element-wise.
    """
    check_shapes(q=(q, "BA"), next_q=(next_q, "BA"), next_q_selector=(next_q_selector, "BA"))
    best = tf.argmax(next_q_selector, axis=1, output_type=tf.int32)  # [B]
    return td_loss(q, action, reward, discount, select_action(next_q, best), loss_fn)


def large_margin_loss(q: tf.Tensor, action: tf.Tensor, margin: float = 0.8) -> tf.Tensor:
    """`J_E = max_a [q[a] + l(a_E, a)] - q[a_E]`, where `l` is `margin`, and 0 for the expert's own action `a_E`.

    Zero where the expert's action is better than all others by the margin (Hester et al. 2018, eq. 3; Piot et al. 2014).

    Args:
        q: action values of the state, `[B, A]`; the gradient flows into the two that are compared.
        action: what the expert did, int `[B]`.
        margin: in units of the action values.

    Returns:
        The loss of each example, `[B]`, never negative.
    """
    check_shapes(q=(q, "BA"), action=(action, "B"))
    expert = tf.equal(tf.cast(action, tf.int32)[:, tf.newaxis], tf.range(tf.shape(q)[1]))  # [B, A]
    rivals = tf.where(expert, q, q + tf.constant(margin, q.dtype))
    return tf.reduce_max(rivals, axis=1) - select_action(q, action)


def dueling(advantage: tf.Tensor, value: tf.Tensor, how: str) -> tf.Tensor:
    """`Q = V + A - baseline(A)`, the baseline over the actions (Wang et al. 2016, eq. 8 and 9).

    Args:
        advantage: `[B, A]`, or `[B, A, N]` for one value per atom.
        value: `[B, 1]`, or `[B, 1, N]`.
        how: `'mean'`, `'max'` or `'naive'` (no baseline, eq. 7).
    """
    wanted = [*advantage.shape[:1], 1, *advantage.shape[2:]]
    if not value.shape.is_compatible_with(wanted):
        raise ValueError(f"value has shape {tuple(value.shape)}; advantage {tuple(advantage.shape)} asks for {tuple(wanted)}.")
    if how == "mean":
        return value + advantage - tf.reduce_mean(advantage, axis=1, keepdims=True)
    if how == "max":
        return value + advantage - tf.reduce_max(advantage, axis=1, keepdims=True)
    if how == "naive":
        return value + advantage
    raise ValueError(f"how={how!r} is unknown; use 'mean', 'max' or 'naive'.")
