"""Deep Q-learning (Mnih et al. 2015)."""

from __future__ import annotations

from polyrl import ops
from polyrl.models.q_model import BaseQModel
from polyrl.models.records import Batch, Forward


class DQNModel(BaseQModel):
    """DQN: the target network both chooses and values the next action, `r + gamma max_a Q_target(s', a)`.

    With `double=True` the online network chooses it (van Hasselt et al. 2016).
    """

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        loss_fn, next_q = self.loss_config.build(), forward.next_target.q
        transitions = forward.online.q, batch.action, batch.reward, batch.discount, next_q
        if self.double:
            return ops.double_q_learning(*transitions, forward.selector.q, loss_fn)
        return ops.q_learning(*transitions, loss_fn)
