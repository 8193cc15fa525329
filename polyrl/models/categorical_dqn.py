"""C51: categorical deep Q-learning (Bellemare et al. 2017)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import tensorflow as tf

from polyrl import ops
from polyrl.engine import projection
from polyrl.models.heads import PLAIN, QHead, Streams
from polyrl.models.keywords import QModelArguments
from polyrl.models.policy_network import PolicyNetwork
from polyrl.models.q_model import BaseQModel
from polyrl.models.q_network import QModelSpec
from polyrl.models.records import Batch, Forward
from polyrl.policies import BasePolicy, CategoricalQPolicy, TimeStep
from polyrl.policies.base import Splitter
from polyrl.summaries import Summaries, SummaryOptions
from polyrl.validation import check_float, check_int

if TYPE_CHECKING:
    from typing_extensions import Unpack


class CategoricalHead(QHead):
    """Logits of the atoms of each action's return, softmax-normalised to a distribution; the value is its mean."""

    NEEDED: ClassVar[tuple[str, ...]] = ("q", "logits")

    def __init__(
        self,
        num_actions: int,
        dueling: str | bool | None,
        num_atoms: int,
        min_q_value: float,
        max_q_value: float,
        make: Streams = PLAIN,
        risk_level: float = 1.0,
    ):
        super().__init__(num_actions, dueling, make, num_atoms)
        self._risk_level = risk_level
        self.num_atoms, self._range = num_atoms, (min_q_value, max_q_value)

    def __call__(self, outputs: tf.Tensor) -> QModelSpec:
        advantage, value, logits = self.streams(outputs)  # [B, A, N], [B, 1, N], [B, A, N]
        q = ops.expected_value(tf.nn.softmax(logits), ops.support(*self._range, self.num_atoms))  # [B, A]
        return QModelSpec(outputs, advantage, value, q, logits)

    def policy_output(self, spec: QModelSpec) -> tf.Tensor:
        return spec.logits

    def policy(
        self, time_step_spec: TimeStep, network: PolicyNetwork, splitter: Splitter | None, temperature: float
    ) -> BasePolicy:
        network.num_atoms = self.num_atoms
        how = *self._range, splitter, temperature
        return CategoricalQPolicy(time_step_spec, self.action_spec, network, *how, risk_level=self._risk_level)


class CategoricalDQNModel(BaseQModel):
    """C51: a distribution over returns for each action, on `num_atoms` values from `min_q_value` to `max_q_value`.

    Takes the arguments of `BaseQModel` but `loss_config` (the loss is the cross-entropy to the projected target), and:

    Args:
        num_atoms: number of atoms N, at least 2.
        min_q_value: the lowest atom.
        max_q_value: the highest atom.
        risk_level: of the policy that acts in PREDICT mode: it goes by the mean of the worst returns, as many as have this
            probability together; 1.0: by the mean of all.
    """

    OWN_LOSS: ClassVar[str | None] = "C51 is the cross-entropy to the projected target"

    def __init__(
        self,
        *args: Any,
        num_atoms: int = 51,
        min_q_value: float = -10.0,
        max_q_value: float = 10.0,
        risk_level: float = 1.0,
        **arguments: Unpack[QModelArguments],
    ):
        super().__init__(*args, **arguments)
        self.num_atoms = check_int("num_atoms", num_atoms, minimum=2)
        self.min_q_value = check_float("min_q_value", min_q_value)
        self.max_q_value = check_float("max_q_value", max_q_value)
        self.risk_level = check_float("risk_level", risk_level, ops.SMALLEST_RISK_LEVEL, 1.0)
        if self.min_q_value >= self.max_q_value:
            raise ValueError(f"min_q_value={min_q_value} must be below max_q_value={max_q_value}.")
        ops.support(self.min_q_value, self.max_q_value, self.num_atoms)  # Refuses what float32 cannot tell apart.

    @property
    def support(self) -> tf.Tensor:
        """The atoms, float32 `[N]`."""
        return ops.support(self.min_q_value, self.max_q_value, self.num_atoms)

    def _build_head(self) -> CategoricalHead:
        atoms = self.num_atoms, self.min_q_value, self.max_q_value
        return CategoricalHead(self.num_actions, self.dueling, *atoms, self._streams, self.risk_level)

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        next_values = forward.next_target.logits, forward.selector.q
        clipped = ops.clipped_mass(self.support, batch.reward, batch.discount, *next_values)
        self.current_call.scalars["train/clipped_mass"] = tf.reduce_mean(clipped)
        return ops.categorical_q_learning(
            self.support,
            forward.online.logits,
            batch.action,
            batch.reward,
            batch.discount,
            *next_values,
            project=projection.project_distribution if self._scope.xla else ops.project_distribution,
        )

    def _priorities(self, loss_output: ops.LossOutput) -> tf.Tensor:
        """The losses (Hessel et al. 2018): a distribution has no single TD error."""
        return loss_output.loss

    def _build_predictions(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, tf.Tensor]:
        """As the parent's, and `probabilities` `[B, A, N]`, `support` `[N]`."""
        predictions = super()._build_predictions(results, features, labels)
        return {**predictions, "probabilities": tf.nn.softmax(self._online().logits), "support": self.support}

    def _build_extra_ops(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, Any]:
        """As the parent's, and `support`: its ends, the discount, how rewards are scaled and clipped, for `SupportHook`."""
        extra = super()._build_extra_ops(results, features, labels)
        rewards = self.reward_scale, math.inf if self.clip_rewards is None else self.clip_rewards
        return {**extra, "support": (self.min_q_value, self.max_q_value, self.discount, *rewards)}

    def _build_summary_op(self, results: tf.Tensor, features: Any, labels: Any) -> Summaries:
        summaries = super()._build_summary_op(results, features, labels)
        if SummaryOptions.LOSS in self.summaries:
            # The mean return distribution of the actions taken, drawn as quantiles: a histogram counts samples.
            probabilities = tf.nn.softmax(ops.select_values(self._online().logits, labels["action"]))  # [B, N]
            cumulative = tf.cumsum(tf.reduce_mean(probabilities, axis=0))  # [N]
            quantiles = tf.searchsorted(cumulative, tf.linspace(0.0005, 0.9995, 1000))
            quantiles = tf.minimum(quantiles, self.num_atoms - 1)
            summaries.histograms["train/return_distribution"] = tf.gather(self.support, quantiles)
        return summaries
