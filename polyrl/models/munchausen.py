"""Munchausen reinforcement learning: the policy's own logarithm as a reward (Vieillard et al. 2020)."""

from __future__ import annotations

from typing import Any, ClassVar

from polyrl import ops
from polyrl.models.iqn import IQNModel
from polyrl.models.q_model import BaseQModel
from polyrl.models.records import Batch, Forward
from polyrl.validation import check_float


class Munchausen(BaseQModel):
    """What the two Munchausen models share: their arguments, and the reward.

    Args:
        entropy_temperature: of the softmax policy, in units of the action values; tau in the paper.
        munchausen_scale: the share of the policy's logarithm that is added to the reward, in [0, 1]; alpha in the paper.
        log_policy_minimum: where that logarithm, times the temperature, is clipped; at most 0.
    """

    CAN_BE_DOUBLE: ClassVar[bool] = False
    NEEDS_TARGET: ClassVar[bool] = True

    def __init__(
        self,
        *args: Any,
        entropy_temperature: float = 0.03,
        munchausen_scale: float = 0.9,
        log_policy_minimum: float = -1.0,
        **arguments: Any,
    ):
        super().__init__(*args, **arguments)
        self.entropy_temperature = check_float("entropy_temperature", entropy_temperature, 0.0)
        if self.entropy_temperature == 0.0:
            raise ValueError(f"entropy_temperature={entropy_temperature} must be above 0.")
        self.munchausen_scale = check_float("munchausen_scale", munchausen_scale, 0.0, 1.0)
        self.log_policy_minimum = check_float("log_policy_minimum", log_policy_minimum, maximum=0.0)

    def _reward(self, batch: Batch, forward: Forward) -> Any:
        """The reward with what the policy adds to it, `[B]`."""
        how = self.entropy_temperature, self.munchausen_scale, self.log_policy_minimum
        return batch.reward + ops.munchausen_reward(forward.target.q, batch.action, *how)


class MunchausenDQNModel(Munchausen):
    """M-DQN: DQN with a softmax policy in the target, whose scaled logarithm is added to the reward.

    Takes the arguments of `BaseQModel` but `double`, and those of `Munchausen`.
    """

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        bootstrap = ops.soft_bootstrap(forward.next_target.q, self.entropy_temperature)
        reward, loss_fn = self._reward(batch, forward), self.loss_config.build()
        return ops.td_loss(forward.online.q, batch.action, reward, batch.discount, bootstrap, loss_fn)


class MunchausenIQNModel(Munchausen, IQNModel):
    """M-IQN: the same with the quantiles of `IQNModel`.

    Takes the arguments of `IQNModel` but `double`, and those of `Munchausen`.
    """

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        following = forward.next_target
        bootstrap = ops.soft_bootstrap(following.q, self.entropy_temperature, following.quantiles)
        online, reward = forward.online, self._reward(batch, forward)
        transitions = batch.action, reward, batch.discount, bootstrap
        return ops.quantile_td_loss(online.quantiles, online.fractions, *transitions, self.kappa, self._compare)
