"""Double deep Q-learning (van Hasselt et al. 2016)."""

from __future__ import annotations

from polyrl import ops
from polyrl.models.q_model import BaseQModel
from polyrl.models.records import Batch, Forward


class DDQNModel(BaseQModel):
    """Double DQN: the online network chooses the next action, the target network values it."""

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        return ops.double_q_learning(
            forward.online.q,
            batch.action,
            batch.reward,
            batch.discount,
            forward.next_target.q,
            next_q_selector=forward.next_online.q,
            loss_fn=self.loss_config.build(),
        )
