"""The panels of a Q model, group by group; docs/tensorboard.md describes them."""

from __future__ import annotations

from collections.abc import Collection

import tensorflow as tf

from polyrl.models.gradients import ClippedGradients
from polyrl.models.q_network import QModelSpec, QNetwork
from polyrl.ops import LossOutput, mask_values
from polyrl.summaries import Summaries, SummaryOptions


def q_summaries(
    options: Collection[str],
    state: tf.Tensor,
    activations: dict[str, tf.Tensor],
    online: QModelSpec,
    td: LossOutput,
    network: QNetwork,
    gradients: ClippedGradients,
    learning_rate: tf.Tensor,
    mask: tf.Tensor | None = None,
) -> Summaries:
    """The values that `options` ask for, of one update.

    Args:
        options: names out of `SummaryOptions`.
        state: the batch of states, `[B, ...]`.
        activations: each layer's output on it.
        online: the online network's output on it.
        td: the loss.
        network: the online network.
        gradients: in the order of its trainable variables.
        learning_rate: scalar.
        mask: the legal actions, bool `[B, A]`; None: all. The values of the others say nothing: none is ever learned.
    """
    summaries = Summaries.empty()
    scalars, histograms, images = summaries
    if SummaryOptions.LOSS in options:
        scalars["train/td_error"] = tf.reduce_mean(tf.abs(td.td_error))
        scalars["train/q_mean"] = tf.reduce_mean(online.q) if mask is None else _masked_mean(online.q, mask)
        scalars["train/q_max"] = tf.reduce_max(mask_values(online.q, mask))
        scalars["train/target_mean"] = tf.reduce_mean(td.target)
        histograms["train/td_error_distribution"] = td.td_error
    if SummaryOptions.LEARNING_RATE in options:
        scalars["train/learning_rate"] = learning_rate
    if SummaryOptions.GRADIENTS in options:
        scalars["train/grad_norm"] = gradients.norm
        scalars["train/grad_norm_clipped"] = gradients.clipped_norm
        labels = {variable.ref(): label for label, variable in network.labelled_variables().items()}
        for variable, gradient in zip(network.model.trainable_variables, gradients.clipped, strict=True):
            histograms[f"gradients/{labels[variable.ref()]}"] = tf.convert_to_tensor(gradient)
    if SummaryOptions.VARIABLES in options:
        for label, variable in network.labelled_variables().items():
            histograms[f"variables/{label}"] = variable.read_value()
    if SummaryOptions.ACTIVATIONS in options:
        for label, activation in activations.items():
            histograms[f"activations/{label}"] = activation
            zeros = tf.cast(tf.equal(activation, 0.0), tf.float32)
            scalars[f"activations/{label}/zero_fraction"] = tf.reduce_mean(zeros)
    if SummaryOptions.IMAGE_INPUT in options:
        images["input/state"] = state[:4, ..., -1:]
    return summaries


def _masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.where(mask, values, 0.0)) / tf.reduce_sum(tf.cast(mask, values.dtype))
