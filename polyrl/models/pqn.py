"""PQN: parallelised Q-learning, without a replay memory or a target network (Gallici et al. 2024)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

import tensorflow as tf

from polyrl import ops
from polyrl.configs import LossConfig, MeanSquaredErrorConfig
from polyrl.models.keywords import QModelArguments
from polyrl.models.q_model import BaseQModel
from polyrl.models.records import Batch, Forward
from polyrl.validation import check_float

if TYPE_CHECKING:
    from typing_extensions import Unpack


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
    CAN_BE_DOUBLE: ClassVar[bool] = False

    def __init__(self, *args: Any, trace_decay: float = 0.65, **arguments: Unpack[QModelArguments]):
        if "use_target_graph" not in inspect.signature(BaseQModel).bind_partial(*args, **arguments).arguments:
            arguments["use_target_graph"] = False
        super().__init__(*args, **arguments)
        self.trace_decay = check_float("trace_decay", trace_decay, 0.0, 1.0)

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        if batch.steps is None:  # Of one step each.
            truncated = tf.zeros_like(batch.reward[:, tf.newaxis])
        elif batch.covered is not None:
            raise ValueError("PQN's returns are of single steps, and n_step of the memory must be 1; trace_decay mixes them.")
        else:
            truncated = batch.steps.truncated  # [S, T]
        next_value = tf.reduce_max(forward.next_target.q, axis=1)
        reward, discount, next_value = (tf.reshape(x, tf.shape(truncated)) for x in (batch.reward, batch.discount, next_value))
        returns = tf.reshape(ops.lambda_return(reward, discount, truncated, next_value, self.trace_decay), [-1])
        nothing = tf.zeros_like(returns)
        return ops.td_loss(forward.online.q, batch.action, returns, nothing, nothing, self.loss_config.build())
