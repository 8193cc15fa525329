"""R2D2: recurrent Q-learning from replayed sequences (Kapturowski et al. 2019)."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from polyrl import ops
from polyrl.configs import LossConfig, MeanSquaredErrorConfig
from polyrl.models.dqn import DQNModel
from polyrl.models.records import Batch, Forward
from polyrl.validation import check_float


class R2D2Model(DQNModel):
    """DQN on rescaled values: `h(r + gamma h^-1(Q_target(s', argmax Q(s'))))`, see `ops.signed_hyperbolic`.

    The other parts are those of any model with a recurrent torso: `graph_fn=recurrent(mlp([64]))`, `burn_in`, and the memory
    `PrioritizedSequenceReplay`. Takes the arguments of `BaseQModel`, with `double` True by default, `loss_config`
    `MeanSquaredErrorConfig()`, and:

    Args:
        rescaling_slope: epsilon of h, at least 0.
    """

    LOSS: ClassVar[LossConfig] = MeanSquaredErrorConfig()

    def __init__(self, *args: Any, double: bool = True, rescaling_slope: float = 1e-3, **arguments: Any):
        super().__init__(*args, double=double, **arguments)
        self.rescaling_slope = check_float("rescaling_slope", rescaling_slope, 0.0)

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        next_action = tf.argmax(forward.selector.q, axis=1, output_type=tf.int32)
        chosen = ops.select_values(forward.next_target.q, next_action)
        # After a terminal state there may be no legal action, whose lowest value has no finite inverse.
        chosen = tf.where(batch.discount > 0.0, chosen, tf.zeros_like(chosen))
        next_value = ops.signed_parabolic(chosen, self.rescaling_slope)
        target = ops.signed_hyperbolic(batch.reward + batch.discount * next_value, self.rescaling_slope)
        nothing = tf.zeros_like(target)
        return ops.td_loss(forward.online.q, batch.action, target, nothing, nothing, self.loss_config.build())
