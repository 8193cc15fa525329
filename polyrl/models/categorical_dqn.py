"""C51: categorical deep Q-learning (Bellemare et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl import ops
from polyrl.engine import projection
from polyrl.models import masks
from polyrl.models.q_model import BaseQModel
from polyrl.models.q_network import QModelSpec
from polyrl.policies import BasePolicy, CategoricalQPolicy
from polyrl.summaries import Summaries, SummaryOptions
from polyrl.validation import check_bool, check_float, check_int


class CategoricalDQNModel(BaseQModel):
    """C51: a distribution over returns for each action, on `num_atoms` values from `min_q_value` to `max_q_value`.

    Takes the arguments of `BaseQModel` but `loss_config` (the loss is the cross-entropy to the projected target), and:

    Args:
        num_atoms: number of atoms N, at least 2.
        min_q_value: the lowest atom.
        max_q_value: the highest atom.
        double: let the online network choose the next action, as in double Q-learning.
    """

    def __init__(
        self,
        *args: Any,
        num_atoms: int = 51,
        min_q_value: float = -10.0,
        max_q_value: float = 10.0,
        double: bool = False,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        if kwargs.get("loss_config", args[4] if len(args) > 4 else None) is not None:
            raise ValueError("loss_config must be None: the loss of C51 is the cross-entropy to the projected target.")
        self.num_atoms = check_int("num_atoms", num_atoms, minimum=2)
        self.min_q_value = check_float("min_q_value", min_q_value)
        self.max_q_value = check_float("max_q_value", max_q_value)
        if self.min_q_value >= self.max_q_value:
            raise ValueError(f"min_q_value={min_q_value} must be below max_q_value={max_q_value}.")
        self.double = check_bool("double", double)

    @property
    def support(self) -> tf.Tensor:
        """The atoms, float32 `[N]`."""
        return ops.support(self.min_q_value, self.max_q_value, self.num_atoms)

    def _build_head(self, outputs: tf.Tensor) -> QModelSpec:
        def head(actions: int, name: str) -> tf.Tensor:
            flat = tf_keras.layers.Dense(actions * self.num_atoms, name=name)(outputs)
            return tf_keras.layers.Reshape([actions, self.num_atoms])(flat)

        advantage = head(self.num_actions, "advantage")  # [B, A, N]
        value = None if self.dueling is None else head(1, "value")  # [B, 1, N]
        logits = self._combine(advantage, value)  # [B, A, N]
        q = ops.expected_value(tf.nn.softmax(logits), self.support)  # [B, A]
        return QModelSpec(outputs, advantage, value, q, logits)

    def _build_td_loss(
        self, labels: Mapping[str, tf.Tensor], discount: tf.Tensor, target: QModelSpec, online: QModelSpec
    ) -> ops.LossOutput:
        return ops.categorical_q_learning(
            self.support,
            self._online.logits,
            labels["action"],
            labels["reward"],
            discount,
            target.logits,
            next_q_selector=online.q if self.double else target.q,
            project=projection.project_distribution if self._scope.xla else ops.project_distribution,
        )

    def _build_policy(self) -> BasePolicy:
        return CategoricalQPolicy(
            *self._policy_specs(),
            q_network=_LogitsNetwork(self),
            min_q_value=self.min_q_value,
            max_q_value=self.max_q_value,
            observation_and_action_constraint_splitter=masks.splitter(self._inputs),
            temperature=self.temperature,
        )

    def _build_predictions(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, tf.Tensor]:
        """As the parent's, and `probabilities` `[B, A, N]`, `support` `[N]`."""
        predictions = super()._build_predictions(results, features, labels)
        probabilities = tf.nn.softmax(self._online.logits)
        return {**predictions, "probabilities": probabilities, "support": self.support}

    def _build_extra_ops(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, Any]:
        """As the parent's, but the losses as `priorities` (Hessel et al. 2018): a distribution has no single TD error."""
        extra = super()._build_extra_ops(results, features, labels)
        return {**extra, "priorities": self._td.loss} if self._learning else extra

    def _build_summary_op(self, results: tf.Tensor, features: Any, labels: Any) -> Summaries:
        summaries = super()._build_summary_op(results, features, labels)
        if SummaryOptions.LOSS in self.summaries:
            # The mean return distribution of the actions taken, drawn as quantiles: a histogram counts samples.
            probabilities = tf.nn.softmax(ops.select_action(self._online.logits, labels["action"]))  # [B, N]
            cumulative = tf.cumsum(tf.reduce_mean(probabilities, axis=0))  # [N]
            quantiles = tf.searchsorted(cumulative, tf.linspace(0.0005, 0.9995, 1000))
            quantiles = tf.minimum(quantiles, self.num_atoms - 1)
            summaries.histograms["train/return_distribution"] = tf.gather(self.support, quantiles)
        return summaries


class _LogitsNetwork:
    """The online network by the contract of `CategoricalQPolicy`: logits `[B, A, N]` and `num_atoms`."""

    def __init__(self, model: CategoricalDQNModel):
        self._model = model
        self.num_atoms = model.num_atoms

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> tuple[tf.Tensor, Any]:
        return self._model._train_graph()(observation).logits, network_state
