"""Expected SARSA (van Seijen et al. 2009) with networks."""

from __future__ import annotations

from typing import Any, ClassVar

from polyrl import ops
from polyrl.explorations import EpsilonGreedy
from polyrl.models.q_model import BaseQModel
from polyrl.models.records import Batch, Forward


class ExpectedSarsaModel(BaseQModel):
    """Bootstraps from what the exploring policy would get, not from the best action.

    With an epsilon that is 0 it is DQN. `exploration_config` must give epsilon: it is that of the present environment step,
    whatever its `warmup_timesteps`. Windows of several steps are not corrected for actions that would be less likely now.
    """

    CAN_BE_DOUBLE: ClassVar[bool] = False

    def __init__(self, *args: Any, **arguments: Any):
        super().__init__(*args, **arguments)
        if not issubclass(self._explorer_class, EpsilonGreedy):
            raise ValueError(
                f"exploration_config={self.exploration_config!r} does not give the epsilon that {type(self).__name__} "
                "bootstraps with; use a ConstantExplorationConfig or a DecayExplorationConfig."
            )

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        value = ops.epsilon_greedy_value(forward.next_target.q, self._build_exploration(), batch.next_mask)
        loss_fn = self.loss_config.build()
        return ops.td_loss(forward.online.q, batch.action, batch.reward, batch.discount, value, loss_fn)
