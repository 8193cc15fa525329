"""Categorical value distributions: C51 (Bellemare et al. 2017). `B` rows, `A` actions, `N` atoms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from polyrl.ops.inputs import on_tensors
from polyrl.ops.numbers import check_support
from polyrl.ops.shapes import check_shapes
from polyrl.ops.value import LossOutput, select_values
from polyrl.validation import check_int

SMALLEST_RISK_LEVEL = 1e-6


@on_tensors
def support(min_value: float, max_value: float, num_atoms: int) -> tf.Tensor:
    """The atoms `z_i`, evenly spaced from `min_value` to `max_value`: float32 `[N]`.

    Raises:
        ValueError: for fewer than 2, or unless they are finite, and even in float32 to a hundredth of their distance.
    """
    if check_int("num_atoms", num_atoms, minimum=2) >= 2**31:  # TensorFlow would crash.
        raise ValueError(f"num_atoms={num_atoms} must be below 2**31.")
    if not tf.is_tensor(min_value) and not tf.is_tensor(max_value):
        if not min_value < max_value:
            raise ValueError(f"min_value={min_value} must be below max_value={max_value}.")
        # Steps of float32 grow with the numbers.
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = np.float32(min_value), np.float32(max_value)
            step = (np.float64(high) - np.float64(low)) / (num_atoms - 1)
            # Of the width, too: the atoms are computed from it.
            fits = np.isfinite([low, high, high - low]).all() and step >= 100 * max(
                np.spacing(abs(low)), np.spacing(abs(high))
            )
        if not fits:
            raise ValueError(
                f"num_atoms={num_atoms} atoms from {min_value} to {max_value} are not finite, or too close together for "
                "float32; use a wider support, or fewer atoms, or scale the rewards."
            )
        return tf.constant(np.linspace(low, high, num_atoms, dtype=np.float32))
    return tf.linspace(tf.cast(min_value, tf.float32), tf.cast(max_value, tf.float32), num_atoms)


@on_tensors
def expected_value(probabilities: tf.Tensor, atoms: tf.Tensor) -> tf.Tensor:
    """The mean `sum_i p_i z_i`: `[..., N]` and `[N]` to `[...]`. A ValueError unless each probability has one atom."""
    if not probabilities.shape[-1:].is_compatible_with(atoms.shape):
        raise ValueError(
            f"atoms has shape {tuple(atoms.shape)}, probabilities {tuple(probabilities.shape)}; expected [N] and [..., N]."
        )
    return tf.reduce_sum(probabilities * atoms, axis=-1)


@on_tensors
def conditional_value_at_risk(probabilities: tf.Tensor, atoms: tf.Tensor, level: float) -> tf.Tensor:
    """The mean of the lowest returns that together have probability `level`: `[..., N]` and `[N]` to `[...]`.

    The atom at which the cumulative probability passes `level` counts with the part below it (Rockafellar & Uryasev 2000, for
    a discrete distribution). At level 1 the result is the mean.

    Args:
        probabilities: those of the atoms, `[..., N]`.
        atoms: increasing, `[N]`.
        level: in [1e-6, 1]; float32 cannot sum probabilities more precisely.

    Raises:
        ValueError: if the level is outside that range, or the number of atoms does not match.
    """
    if not SMALLEST_RISK_LEVEL <= level <= 1.0:
        raise ValueError(f"level={level} must lie in [{SMALLEST_RISK_LEVEL}, 1].")
    below = tf.cumsum(probabilities, axis=-1, exclusive=True)
    return expected_value(tf.minimum(tf.maximum(level - below, 0.0), probabilities), atoms) / level


@on_tensors
def project_distribution(positions: tf.Tensor, probabilities: tf.Tensor, atoms: tf.Tensor) -> tf.Tensor:
    """Projects a distribution onto an evenly spaced support, preserving its mass (Bellemare et al. 2017, eq. 7).

    The mass at each position is split between the two neighbouring atoms, linearly in the distance; positions beyond the
    support are clipped to the end atom: `p'_i = sum_j max(0, 1 - |clip(x_j) - z_i| / dz) p_j`. It is meant for targets: no
    gradient flows into the arguments.

    Args:
        positions: the positions of the mass, `[B, M]`.
        probabilities: the mass at each position, `[B, M]`.
        atoms: the support, `[N]`, increasing and evenly spaced.

    Returns:
        Probabilities over `atoms`, `[B, N]`.
    """
    check_shapes(positions=(positions, "BM"), probabilities=(probabilities, "BM"), atoms=(atoms, "N"))
    check_support(atoms)
    positions, probabilities = tf.stop_gradient(positions), tf.stop_gradient(probabilities)
    spacing = (atoms[-1] - atoms[0]) / tf.cast(tf.shape(atoms)[0] - 1, atoms.dtype)
    inside = tf.clip_by_value(positions, atoms[0], atoms[-1])  # [B, M]
    distance = tf.abs(inside[:, tf.newaxis, :] - atoms[tf.newaxis, :, tf.newaxis]) / spacing  # [B, N, M]
    shares = tf.maximum(1.0 - distance, 0.0)  # [B, N, M]
    return tf.reduce_sum(shares * probabilities[:, tf.newaxis, :], axis=2)  # [B, N]


@on_tensors
def categorical_q_learning(
    atoms: tf.Tensor,
    logits: tf.Tensor,
    action: tf.Tensor,
    reward: tf.Tensor,
    discount: tf.Tensor,
    next_logits: tf.Tensor,
    next_q_selector: tf.Tensor | None = None,
    project: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor] = project_distribution,
) -> LossOutput:
    """Categorical Q-learning: cross-entropy against the projected Bellman target (Bellemare et al. 2017, Algorithm 1).

    Args:
        atoms: the support, `[N]`.
        logits: online logits of the state, `[B, A, N]`; the only argument that gets a gradient.
        action: int `[B]`.
        reward: `[B]`.
        discount: `[B]`, zero where the episode terminated.
        next_logits: logits of the next state, from the target network, `[B, A, N]`.
        next_q_selector: action values `[B, A]` that select the next action; by default those of the target network, for
            double Q-learning those of the online network.
        project: `project_distribution`, or another implementation of the same formula.

    Returns:
        `loss` is the cross-entropy; `target`, `td_error` and `prediction` refer to the expected values.
    """
    check_shapes(
        atoms=(atoms, "N"),
        logits=(logits, "BAN"),
        action=(action, "B"),
        reward=(reward, "B"),
        discount=(discount, "B"),
        next_logits=(next_logits, "BAN"),
    )
    check_support(atoms)
    next_probabilities = tf.nn.softmax(next_logits)  # [B, A, N]
    selector = expected_value(next_probabilities, atoms) if next_q_selector is None else next_q_selector
    check_shapes(logits=(logits, "BAN"), next_q_selector=(selector, "BA"))
    next_action = tf.argmax(selector, axis=1, output_type=tf.int32)  # [B]
    positions = reward[:, tf.newaxis] + discount[:, tf.newaxis] * atoms[tf.newaxis, :]  # [B, N]
    target = project(positions, select_values(next_probabilities, next_action), atoms)  # [B, N]
    action_logits = select_values(logits, action)  # [B, N]
    loss = tf.nn.softmax_cross_entropy_with_logits(labels=target, logits=action_logits)  # [B]
    target_value = expected_value(target, atoms)  # [B]
    prediction = expected_value(tf.nn.softmax(action_logits), atoms)  # [B]
    return LossOutput(loss, target_value, target_value - prediction, prediction)


@on_tensors
def clipped_mass(
    atoms: tf.Tensor, reward: tf.Tensor, discount: tf.Tensor, next_logits: tf.Tensor, next_q_selector: tf.Tensor
) -> tf.Tensor:
    """The mass of the targets of `categorical_q_learning` that lies beyond the support, and is moved to its ends, `[B]`.

    Same arguments as there; what is beyond by less than a thousandth of the spacing is rounding. No gradient flows.
    """
    check_shapes(
        atoms=(atoms, "N"),
        reward=(reward, "B"),
        discount=(discount, "B"),
        next_logits=(next_logits, "BAN"),
        next_q_selector=(next_q_selector, "BA"),
    )
    check_support(atoms)
    next_action = tf.argmax(next_q_selector, axis=1, output_type=tf.int32)  # [B]
    mass = select_values(tf.nn.softmax(next_logits), next_action)  # [B, N]
    positions = reward[:, tf.newaxis] + discount[:, tf.newaxis] * atoms[tf.newaxis, :]  # [B, N]
    rounding = 1e-3 * (atoms[1] - atoms[0])
    beyond = tf.logical_or(positions < atoms[0] - rounding, positions > atoms[-1] + rounding)
    return tf.stop_gradient(tf.reduce_sum(tf.where(beyond, mass, tf.zeros_like(mass)), axis=1))
