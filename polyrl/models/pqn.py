"""PQN: parallelised Q-learning, without a replay memory or a target network (Gallici et al. 2024)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import tensorflow as tf

from polyrl import ops
from polyrl.configs import LossConfig, MeanSquaredErrorConfig
from polyrl.models.arguments import HINTS
from polyrl.models.keywords import QModelArguments
from polyrl.models.q_model import BaseQModel
from polyrl.models.records import Batch, Forward
from polyrl.validation import check_float, explains

if TYPE_CHECKING:
    from typing_extensions import Unpack

VALID = "valid"
"""The label of sequences, float32 `[S, T]`: 0 for steps that hold nothing."""


def _flat(values: Any) -> tf.Tensor:
    """`[S, T, ...]` as `[S * T, ...]`."""
    tensor = tf.convert_to_tensor(values)
    return tf.reshape(tensor, [-1, *tensor.shape[2:]])


@explains(HINTS)
class PQNModel(BaseQModel):
    """PQN: the online network alone, on lambda-returns of the newest steps of many environments.

    It learns from sequences, as `RolloutMemory` gives them: all features and labels `[S, T, ...]`. A torso with layer
    normalisation keeps it stable in place of a target network: `mlp(units, layer_norm=True)`. Labels `[B]` are sequences of
    one step.

    Takes the arguments of `BaseQModel`; `use_target_graph` is False by default, `loss_config` `MeanSquaredErrorConfig()`. And:

    Args:
        trace_decay: lambda, in [0, 1]: 0 bootstraps after one step, 1 at the end of the sequence.
    """

    LOSS: ClassVar[LossConfig] = MeanSquaredErrorConfig()
    FURTHER_LABELS: ClassVar[tuple[str, ...]] = (VALID,)
    CAN_BE_DOUBLE: ClassVar[bool] = False

    def __init__(self, *args: Any, trace_decay: float = 0.65, **arguments: Unpack[QModelArguments]):
        if "use_target_graph" not in inspect.signature(BaseQModel).bind_partial(*args, **arguments).arguments:
            arguments["use_target_graph"] = False
        super().__init__(*args, **arguments)
        self.trace_decay = check_float("trace_decay", trace_decay, 0.0, 1.0)

    def _preprocess(self, features: Any, labels: Any) -> tuple[Any, Any]:
        """As the parent's, of sequences step by step: `[S, T, ...]` becomes `[S * T, ...]`."""
        if isinstance(labels, Mapping) and VALID in labels:
            valid = tf.convert_to_tensor(labels[VALID])
            steps = {key: value for key, value in labels.items() if key != VALID}
            features, steps = tf.nest.map_structure(_flat, (features, steps))
            labels = {**steps, VALID: valid}
        return super()._preprocess(features, labels)

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        labels = self.current_call.labels
        assert labels is not None
        valid, truncated = tf.ones_like(batch.reward)[:, tf.newaxis], tf.zeros_like(batch.reward)  # Of one step each.
        if VALID in labels:
            valid, truncated = labels[VALID], labels.get("truncated", truncated)  # [S, T], [S * T]
        next_value = tf.reduce_max(forward.next_target.q, axis=1)
        steps = (batch.reward, batch.discount, truncated, next_value)
        reward, discount, truncated, next_value = (tf.reshape(x, valid.shape) for x in steps)
        returns = tf.reshape(ops.lambda_return(reward, discount, truncated, next_value, self.trace_decay), [-1])
        nothing = tf.zeros_like(returns)
        loss = ops.td_loss(forward.online.q, batch.action, returns, nothing, nothing, self.loss_config.build())
        share = tf.reshape(valid / tf.maximum(tf.reduce_mean(valid), 1e-6), [-1])
        return loss._replace(loss=loss.loss * share)
