"""Deep Q-learning (Mnih et al. 2015)."""

from __future__ import annotations

from polyrl import ops
from polyrl.models.q_model import BaseQModel
from polyrl.models.records import Batch, Forward


class DQNModel(BaseQModel):
    """DQN: the target network both chooses and values the next action, `r + gamma max_a Q_target(s', a)`."""

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        loss_fn = self.loss_config.build()
        return ops.q_learning(forward.online.q, batch.action, batch.reward, batch.discount, forward.next_target.q, loss_fn)
