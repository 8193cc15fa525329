"""Double deep Q-learning (van Hasselt et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from polyrl import ops
from polyrl.models.q_model import BaseQModel
from polyrl.models.q_network import QModelSpec


class DDQNModel(BaseQModel):
    """Double DQN: the online network chooses the next action, the target network values it."""

    def _build_td_loss(
        self, labels: Mapping[str, tf.Tensor], discount: tf.Tensor, target: QModelSpec, online: QModelSpec
    ) -> ops.LossOutput:
        return ops.double_q_learning(
            self._online.q, labels["action"], labels["reward"], discount, target.q, online.q, self.loss_config.build()
        )
