"""C51: categorical deep Q-learning (Bellemare et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras

from polyrl import ops
from polyrl.configs import ExplorationConfig, LossConfig, MetricConfig, OptimizerConfig
from polyrl.engine import projection
from polyrl.models import features as features_of
from polyrl.models.arguments import HINTS
from polyrl.models.base import GraphFn
from polyrl.models.expert import MARGIN, WEIGHT
from polyrl.models.networks import combine_heads
from polyrl.models.policy_network import PolicyNetwork
from polyrl.models.q_model import BaseQModel
from polyrl.models.q_network import QModelSpec
from polyrl.models.records import Batch, Forward
from polyrl.policies import BasePolicy, CategoricalQPolicy
from polyrl.summaries import Summaries, SummaryOptions
from polyrl.validation import check_bool, check_float, check_int, explains


@explains(HINTS)
class CategoricalDQNModel(BaseQModel):
    """C51: a distribution over returns for each action, on `num_atoms` values from `min_q_value` to `max_q_value`.

    Takes the arguments of `BaseQModel` but `loss_config` (the loss is the cross-entropy to the projected target), and:

    Args:
        num_atoms: number of atoms N, at least 2.
        min_q_value: the lowest atom.
        max_q_value: the highest atom.
        double: let the online network choose the next action, as in double Q-learning.
    """

    NEEDED: ClassVar[tuple[str, ...]] = ("q", "logits")

    def __init__(
        self,
        mode: str,
        graph_fn: GraphFn,
        num_states: int | Sequence[int],
        num_actions: int,
        loss_config: LossConfig | None = None,
        optimizer_config: OptimizerConfig | None = None,
        eval_metrics_config: Sequence[MetricConfig] | None = None,
        discount: float = 0.97,
        exploration_config: ExplorationConfig | None = None,
        use_target_graph: bool = True,
        target_update_frequency: int = 5,
        is_continuous: bool = False,
        dueling: str | bool | None = "mean",
        use_expert_demo: bool = False,
        summaries: str | Iterable[str] | None = "all",
        clip_gradients: float | None = 0.5,
        clip_embed_gradients: float | None = 0.1,
        name: str = "Model",
        *,
        temperature: float = 0.0,
        target_update_tau: float = 1.0,
        expert_margin: float = MARGIN,
        expert_weight: float = WEIGHT,
        num_atoms: int = 51,
        min_q_value: float = -10.0,
        max_q_value: float = 10.0,
        double: bool = False,
    ):
        if loss_config is not None:
            raise ValueError("loss_config must be None: the loss of C51 is the cross-entropy to the projected target.")
        super().__init__(
            mode,
            graph_fn,
            num_states,
            num_actions,
            loss_config,
            optimizer_config,
            eval_metrics_config,
            discount,
            exploration_config,
            use_target_graph,
            target_update_frequency,
            is_continuous,
            dueling,
            use_expert_demo,
            summaries,
            clip_gradients,
            clip_embed_gradients,
            name,
            temperature=temperature,
            target_update_tau=target_update_tau,
            expert_margin=expert_margin,
            expert_weight=expert_weight,
        )
        self.num_atoms = check_int("num_atoms", num_atoms, minimum=2)
        self.min_q_value = check_float("min_q_value", min_q_value)
        self.max_q_value = check_float("max_q_value", max_q_value)
        if self.min_q_value >= self.max_q_value:
            raise ValueError(f"min_q_value={min_q_value} must be below max_q_value={max_q_value}.")
        ops.support(self.min_q_value, self.max_q_value, self.num_atoms)  # Refuses what float32 cannot tell apart.
        self.double = check_bool("double", double)

    @property
    def support(self) -> tf.Tensor:
        """The atoms, float32 `[N]`."""
        return ops.support(self.min_q_value, self.max_q_value, self.num_atoms)

    def _build_head(self, outputs: tf.Tensor) -> QModelSpec:
        def head(actions: int, name: str) -> tf.Tensor:
            flat = tf_keras.layers.Dense(actions * self.num_atoms, name=name, dtype=tf.float32)(outputs)
            return tf_keras.layers.Reshape([actions, self.num_atoms], dtype=tf.float32)(flat)

        advantage = head(self.num_actions, "advantage")  # [B, A, N]
        value = None if self.dueling is None else head(1, "value")  # [B, 1, N]
        logits = combine_heads(advantage, value, self.dueling)  # [B, A, N]
        q = ops.expected_value(tf.nn.softmax(logits), self.support)  # [B, A]
        return QModelSpec(outputs, advantage, value, q, logits)

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        next_q = (forward.next_online if self.double else forward.next_target).q
        next_values = forward.next_target.logits, next_q
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

    def _build_policy(self) -> BasePolicy:
        return CategoricalQPolicy(
            features_of.time_step_spec(self.current_call.features),
            self.action_spec,
            PolicyNetwork(self._networks.online, self.mode, lambda spec: spec.logits, self.num_states, self.num_atoms),
            self.min_q_value,
            self.max_q_value,
            observation_and_action_constraint_splitter=features_of.splitter(self.current_call.features),
            temperature=self.temperature,
        )

    def _priorities(self, loss_output: ops.LossOutput) -> tf.Tensor:
        """The losses (Hessel et al. 2018): a distribution has no single TD error."""
        return loss_output.loss

    def _build_predictions(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, tf.Tensor]:
        """As the parent's, and `probabilities` `[B, A, N]`, `support` `[N]`."""
        predictions = super()._build_predictions(results, features, labels)
        return {**predictions, "probabilities": tf.nn.softmax(self._online().logits), "support": self.support}

    def _build_extra_ops(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, Any]:
        """As the parent's, and `support`: `min_q_value`, `max_q_value` and `discount`, for `SupportHook`."""
        extra = super()._build_extra_ops(results, features, labels)
        return {**extra, "support": (self.min_q_value, self.max_q_value, self.discount)}

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
