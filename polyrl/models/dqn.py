"""Deep Q-learning (Mnih et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from polyrl import ops
from polyrl.models.q_model import BaseQModel
from polyrl.models.q_network import QModelSpec


class DQNModel(BaseQModel):
    """DQN: the target network both chooses and values the next action, `r + gamma max_a Q_target(s', a)`."""

    def _build_td_loss(
        self, labels: Mapping[str, tf.Tensor], discount: tf.Tensor, target: QModelSpec, online: QModelSpec
    ) -> ops.LossOutput:
        return ops.q_learning(self._online.q, labels["action"], labels["reward"], discount, target.q, self.loss_config.build())
