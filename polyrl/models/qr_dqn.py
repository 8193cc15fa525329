"""QR-DQN: quantile regression Q-learning (Dabney et al. 2018a)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import tensorflow as tf

from polyrl import ops
from polyrl.engine import pairwise
from polyrl.models.heads import QHead
from polyrl.models.keywords import QModelArguments
from polyrl.models.policy_network import PolicyNetwork
from polyrl.models.q_model import BaseQModel
from polyrl.models.q_network import QModelSpec
from polyrl.models.records import Batch, Forward
from polyrl.policies import BasePolicy, QuantileQPolicy, TimeStep
from polyrl.policies.base import Splitter
from polyrl.validation import check_float, check_int

if TYPE_CHECKING:
    from typing_extensions import Unpack


class QuantileHead(QHead):
    """`width` quantiles of each action's return, at the midpoints of equal parts of [0, 1]; the value is their mean.

    Takes the arguments of `QHead`, and the `risk_level` of its policy.
    """

    NEEDED: ClassVar[tuple[str, ...]] = ("q", "quantiles", "fractions")

    def __init__(self, *args: Any, risk_level: float = 1.0):
        super().__init__(*args)
        self._risk_level = risk_level

    def __call__(self, outputs: tf.Tensor) -> QModelSpec:
        advantage, value, quantiles = self.streams(outputs)  # [B, A, N], [B, 1, N], [B, A, N]
        fractions = tf.zeros_like(quantiles[:, 0, :]) + ops.quantile_midpoints(quantiles.shape[2])  # [B, N]
        q = tf.reduce_mean(quantiles, axis=2)
        return QModelSpec(outputs, advantage, value, q, quantiles=quantiles, fractions=fractions)

    def policy_output(self, spec: QModelSpec) -> tf.Tensor:
        return spec.quantiles

    def policy(
        self, time_step_spec: TimeStep, network: PolicyNetwork, splitter: Splitter | None, temperature: float
    ) -> BasePolicy:
        how = splitter, temperature
        return QuantileQPolicy(time_step_spec, self.action_spec, network, *how, risk_level=self._risk_level)


class QuantileModel(BaseQModel):
    """What models have in common whose heads give quantiles: the loss, priorities, predictions. `QRDQNModel` is one."""

    kappa: float

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        return ops.quantile_q_learning(
            forward.online.quantiles,
            forward.online.fractions,
            batch.action,
            batch.reward,
            batch.discount,
            forward.next_target.quantiles,
            forward.selector.q,
            self.kappa,
            self._compare,
        )

    @property
    def _compare(self) -> Callable[..., tf.Tensor]:
        """The quantile Huber loss, as a loop if XLA may compile it."""
        return pairwise.quantile_huber_loss if self._scope.xla else ops.quantile_huber_loss

    def _priorities(self, loss_output: ops.LossOutput) -> tf.Tensor:
        """The losses, as of C51: a distribution has no single TD error."""
        return loss_output.loss

    def _build_predictions(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, tf.Tensor]:
        """As the parent's, and `quantiles` `[B, A, N]`."""
        return {**super()._build_predictions(results, features, labels), "quantiles": self._online().quantiles}


class QRDQNModel(QuantileModel):
    """QR-DQN: `num_quantiles` quantiles of the return for each action, with no bounds that have to be known.

    Takes the arguments of `BaseQModel` but `loss_config` (the loss is the quantile Huber loss), and:

    Args:
        num_quantiles: how many, N; 200 in the paper.
        kappa: where the Huber loss turns from a square to a line, in units of the action values; 0: it is a line.
        risk_level: of the policy that acts in PREDICT mode: it goes by the mean of the worst returns, as many as have this
            probability together; 1.0: by the mean of all.
    """

    OWN_LOSS: ClassVar[str | None] = "QR-DQN is the quantile Huber loss"

    def __init__(
        self,
        *args: Any,
        num_quantiles: int = 200,
        kappa: float = 1.0,
        risk_level: float = 1.0,
        **arguments: Unpack[QModelArguments],
    ):
        super().__init__(*args, **arguments)
        self.num_quantiles = check_int("num_quantiles", num_quantiles, minimum=1)
        self.kappa = check_float("kappa", kappa, 0.0)
        self.risk_level = check_float("risk_level", risk_level, ops.SMALLEST_RISK_LEVEL, 1.0)

    def _build_head(self) -> QuantileHead:
        return QuantileHead(self.num_actions, self.dueling, self._streams, self.num_quantiles, risk_level=self.risk_level)
