"""Temporal-difference losses for action values. Everything is batched: `B` rows, `A` actions.

`discount` is the factor on the bootstrap value: `gamma * (1 - terminated)` for one step, `gamma^n * (1 - terminated)` for n
steps. A truncated episode keeps its bootstrap (Pardo et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from polyrl.ops.inputs import on_tensors
from polyrl.ops.shapes import check_actions, check_shapes


class LossOutput(NamedTuple):
    """The loss of each example, not yet weighted or averaged, and the values that it was computed from.

    `loss` `[B]`; `target` `[B]` (without gradient); `td_error` `[B]`, target minus prediction; `prediction` `[B]`, the
    predicted value of the action taken.
    """

    loss: tf.Tensor
    target: tf.Tensor
    td_error: tf.Tensor
    prediction: tf.Tensor


@on_tensors
def select_values(values: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
    """The values of the given actions, `values[b, action[b], ...]`: `[B, A, ...]` and `[B]` to `[B, ...]`."""
    if values.shape.rank is None or not 2 <= values.shape.rank <= 6:
        raise ValueError(f"values has shape {values.shape}; expected [B, A, ...].")
    check_shapes(values=(values, "BANXYZ"[: values.shape.rank]), action=(action, "B"))
    check_actions(action, values.shape[1])
    # A masked sum instead of a gather, because a gather's gradient is a scatter, which is slow in a compiled update.
    chosen = tf.equal(tf.cast(action, tf.int32)[:, tf.newaxis], tf.range(tf.shape(values)[1]))  # [B, A]
    chosen = tf.reshape(chosen, [*tf.unstack(tf.shape(chosen)), *[1] * (values.shape.rank - 2)])
    return tf.reduce_sum(tf.where(chosen, values, tf.zeros_like(values)), axis=1)


@on_tensors
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
        discount: factor on the bootstrap value, zero where the episode terminated, `[B]`.
        bootstrap: value of the next state, `[B]`.
        loss_fn: `loss_fn(target, prediction)`, element-wise.
    """
    check_shapes(q=(q, "BA"), action=(action, "B"), reward=(reward, "B"), discount=(discount, "B"), bootstrap=(bootstrap, "B"))
    prediction = select_values(q, action)  # [B]
    target = tf.stop_gradient(reward + discount * bootstrap)  # [B]
    return LossOutput(loss_fn(target, prediction), target, target - prediction, prediction)


@on_tensors
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


@on_tensors
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
        next_q_selector: action values of the next state, from the online network, `[B, A]`; they select the action.
        loss_fn: `loss_fn(target, prediction)`, element-wise.
    """
    check_shapes(q=(q, "BA"), next_q=(next_q, "BA"), next_q_selector=(next_q_selector, "BA"))
    next_action = tf.argmax(next_q_selector, axis=1, output_type=tf.int32)  # [B]
    return td_loss(q, action, reward, discount, select_values(next_q, next_action), loss_fn)


@on_tensors
def large_margin_loss(q: tf.Tensor, action: tf.Tensor, margin: float = 0.8) -> tf.Tensor:
    """`J_E = max_a [q[a] + l(a_E, a)] - q[a_E]`, where `l` is `margin`, but 0 for the expert's action `a_E`.

    It is zero where the value of the expert's action exceeds all others by the margin (Hester et al. 2018, eq. 3; Piot et al.
    2014).

    Args:
        q: action values of the state, `[B, A]`; the gradient flows into the two that are compared.
        action: the expert's action, int `[B]`.
        margin: in units of the action values.

    Returns:
        The loss of each example, `[B]`, never negative.
    """
    check_shapes(q=(q, "BA"), action=(action, "B"))
    check_actions(action, q.shape[1])
    expert = tf.equal(tf.cast(action, tf.int32)[:, tf.newaxis], tf.range(tf.shape(q)[1]))  # [B, A]
    with_margin = tf.where(expert, q, q + tf.constant(margin, q.dtype))
    return tf.reduce_max(with_margin, axis=1) - select_values(q, action)


@on_tensors
def dueling(advantage: tf.Tensor, value: tf.Tensor, how: str) -> tf.Tensor:
    """`Q = V + A - baseline(A)`, with the baseline taken over the actions (Wang et al. 2016, eq. 8 and 9).

    Args:
        advantage: `[B, A]`, or `[B, A, N]` with one value for each atom.
        value: `[B, 1]`, or `[B, 1, N]`.
        how: the baseline: `'mean'`, `'max'` or `'naive'` (no baseline, eq. 7).

    Raises:
        ValueError: if `how` is unknown, or the shape of `value` does not match that of `advantage`.
    """
    if advantage.shape.rank not in (2, 3):
        raise ValueError(f"advantage has shape {advantage.shape}; expected [B, A] or [B, A, N].")
    expected = [*advantage.shape[:1], 1, *advantage.shape[2:]]
    if not value.shape.is_compatible_with(expected):
        raise ValueError(
            f"value has shape {tuple(value.shape)}; expected {tuple(expected)} for an advantage {tuple(advantage.shape)}."
        )
    if how == "mean":
        return value + advantage - tf.reduce_mean(advantage, axis=1, keepdims=True)
    if how == "max":
        return value + advantage - tf.reduce_max(advantage, axis=1, keepdims=True)
    if how == "naive":
        return value + advantage
    raise ValueError(f"how={how!r} is unknown; use 'mean', 'max' or 'naive'.")
