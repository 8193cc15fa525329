"""The panels of a Q model, group by group; docs/tensorboard.md describes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import tensorflow as tf

from polyrl.models import batches
from polyrl.models import features as features_of
from polyrl.models.expert import ExpertLoss
from polyrl.models.model_call import ModelCall
from polyrl.models.q_network import LayerOutput, QNetwork
from polyrl.ops import mask_values
from polyrl.summaries import Summaries, SummaryOptions


def q_summaries(
    options: Collection[str],
    call: ModelCall,
    network: QNetwork,
    learning_rate: tf.Tensor,
    expert: ExpertLoss | None,
) -> Summaries:
    """The values that `options` name, of one update; what the call has not computed is left out.

    Args:
        options: names out of `SummaryOptions`.
        call: the update.
        network: the online network.
        learning_rate: scalar.
        expert: the large-margin term, if there is one.
    """
    summaries = Summaries.empty()
    scalars, histograms, images = summaries
    features, mask = call.features, features_of.mask_of(call.features)
    if SummaryOptions.LOSS in options and call.online is not None:
        q = mask_values(call.online.q, mask)
        # The values of illegal actions say nothing: they are never learned.
        scalars["train/q_mean"] = tf.reduce_mean(q) if mask is None else _masked_mean(q, mask)
        scalars["train/q_max"] = tf.reduce_max(q)
        if expert is not None and call.labels is not None:
            scalars["train/expert_loss"] = expert.mean(q, batches.as_batch(features, call.labels, gamma=1.0))
    if SummaryOptions.LOSS in options and call.loss_output is not None:
        scalars["train/td_error"] = tf.reduce_mean(tf.abs(call.loss_output.td_error))
        scalars["train/target_mean"] = tf.reduce_mean(call.loss_output.target)
        scalars.update(call.scalars)
        histograms["train/td_error_distribution"] = call.loss_output.td_error
    if SummaryOptions.LEARNING_RATE in options:
        scalars["train/learning_rate"] = learning_rate
    if SummaryOptions.GRADIENTS in options and call.gradients is not None:
        scalars["train/grad_norm"] = call.gradients.norm
        scalars["train/grad_norm_clipped"] = call.gradients.clipped_norm
        labels = {variable.ref(): label for label, variable in network.labelled_variables().items()}
        for variable, gradient in zip(network.model.trainable_variables, call.gradients.clipped, strict=True):
            histograms[f"gradients/{labels[variable.ref()]}"] = tf.convert_to_tensor(gradient)
    if SummaryOptions.VARIABLES in options:
        for label, variable in network.labelled_variables().items():
            histograms[f"variables/{label}"] = variable.read_value()
    if SummaryOptions.ACTIVATIONS in options:
        _add_activations(summaries, network.activations(features_of.network_inputs(features)))
    if SummaryOptions.IMAGE_INPUT in options:
        images["input/state"] = batches.state_of(features)[:4, ..., -1:]
    return summaries


def _add_activations(summaries: Summaries, outputs: Mapping[str, LayerOutput]) -> None:
    for label, output in outputs.items():
        summaries.histograms[f"activations/{label}"] = output.values
        if output.may_be_dead:  # Of other layers it would be a line at 0.
            zeros = tf.cast(tf.equal(output.values, 0.0), tf.float32)
            summaries.scalars[f"activations/{label}/zero_fraction"] = tf.reduce_mean(zeros)


def _masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.where(mask, values, 0.0)) / tf.reduce_sum(tf.cast(mask, values.dtype))
