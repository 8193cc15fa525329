"""NAF: Q-learning with continuous actions by normalized advantage functions (Gu et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras

from polyrl import ops
from polyrl.configs import ExplorationConfig, LossConfig, MetricConfig, OptimizerConfig
from polyrl.models import features as features_of
from polyrl.models.arguments import HINTS
from polyrl.models.base import GraphFn
from polyrl.models.policy_network import PolicyNetwork
from polyrl.models.q_model import BaseQModel
from polyrl.models.q_network import QModelSpec
from polyrl.models.records import Batch, Forward
from polyrl.policies import BasePolicy, BoundedTensorSpec, NAFPolicy
from polyrl.validation import check_bool, check_float, explains


@explains(HINTS)
class NAFModel(BaseQModel):
    """`Q(s, a) = V(s) - 1/2 (a - mu(s))^T P(s) (a - mu(s))`, whose largest value is `V(s)`, at `a = mu(s)`.

    Takes the arguments of `BaseQModel` but `dueling` (value and advantage are always apart), with `is_continuous` True. Labels
    hold `action` float `[B, k]`, within the bounds.

    Args:
        num_actions: `k`, the components of an action.
        action_low: the lowest action, a number or one for each of the `k` components.
        action_high: the highest.
        temperature: of the policy that acts in PREDICT mode. `softmax(Q / temperature)` is a normal distribution here, of
            covariance `temperature * P^-1` in units of half the range; 0 is its mean.
    """

    CONTINUOUS: ClassVar[bool] = True
    NEEDED: ClassVar[tuple[str, ...]] = ("q", "a", "scale")

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
        is_continuous: bool = True,
        dueling: str | bool | None = True,
        use_expert_demo: bool = False,
        summaries: str | Iterable[str] | None = "all",
        clip_gradients: float | None = 0.5,
        clip_embed_gradients: float | None = 0.1,
        name: str = "Model",
        *,
        temperature: float = 0.0,
        target_update_tau: float = 1.0,
        action_low: float | Sequence[float] = -1.0,
        action_high: float | Sequence[float] = 1.0,
    ):
        if dueling is not None and not (isinstance(dueling, (bool, np.bool_)) and dueling):
            raise ValueError(f"dueling={dueling!r} must be left out: NAF always has heads for value and advantage.")
        if check_bool("use_expert_demo", use_expert_demo):
            raise ValueError(
                f"use_expert_demo={use_expert_demo!r}: the large-margin loss compares discrete actions; leave it False."
            )
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
            True,
            use_expert_demo,
            summaries,
            clip_gradients,
            clip_embed_gradients,
            name,
            temperature=temperature,
            target_update_tau=target_update_tau,
        )
        self.action_low = self._bound("action_low", action_low)
        self.action_high = self._bound("action_high", action_high)
        with np.errstate(over="ignore", invalid="ignore"):
            width = self.action_high - self.action_low
        if not np.all((width > 0.0) & np.isfinite(width)):
            raise ValueError(
                f"action_low={action_low} must be below action_high={action_high}, by no more than float32 holds."
            )

    @property
    def action_spec(self) -> BoundedTensorSpec:
        """The spec of one action, float32 `[k]`."""
        return BoundedTensorSpec((self.num_actions,), tf.float32, self.action_low, self.action_high, name="action")

    def _build_head(self, outputs: tf.Tensor) -> QModelSpec:
        # While V is far off, the loss drives the mean away from all actions taken. A tanh at its end has no gradient to come
        # back by, a softsign has.
        mean = self._head(self.num_actions, "mean", "softsign")(outputs)  # [B, k], in units of half the range
        value = tf_keras.layers.Dense(1, name="value", dtype=tf.float32)(outputs)  # [B, 1]
        scale = self._head(self.num_actions * (self.num_actions + 1) // 2, "scale")(outputs)  # [B, k (k + 1) / 2]
        return QModelSpec(outputs, mean, value, value[:, 0], scale=scale)

    def _best_actions(self, online: QModelSpec) -> tf.Tensor:
        return self._from_unit(online.a)

    def _exploring_actions(self, online: QModelSpec, rate: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        is_first = features_of.is_first(self.current_call.features)
        explorer = self._explorer(tf.TensorShape([*online.q.shape, self.num_actions]))
        return self._from_unit(explorer(online.a, rate, seed, is_first))

    def _build_policy(self) -> BasePolicy:
        time_step = features_of.time_step_spec(self.current_call.features)
        network = PolicyNetwork(self._networks.online, self.mode, lambda spec: (spec.a, spec.scale), self.num_states)
        return NAFPolicy(time_step, self.action_spec, network, temperature=self.temperature)

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        advantage, value = self._advantage(forward.online, batch.action), forward.online.q
        loss_fn, next_value = self.loss_config.build(), forward.next_target.q
        return ops.normalized_q_learning(advantage, value, batch.reward, batch.discount, next_value, loss_fn)

    def _build_predictions(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, tf.Tensor]:
        """`results` (the action) and `mean` (the best one) `[B, k]`; `q`, `a` and `v` `[B]`; `graph_results`.

        `q` and `a` are computed for the labels' action if there is one, else for `results`. With labels, also `td_error`
        `[B]`.
        """
        online = self._online()
        advantage = self._advantage(online, results if labels is None else labels["action"])
        predictions = super()._build_predictions(results, features, labels)
        return {**predictions, "mean": self._best_actions(online), "a": advantage, "v": online.q, "q": online.q + advantage}

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _head(self, units: int, name: str, activation: str | None = None) -> tf_keras.layers.Layer:
        """A layer whose output is near 0 at first, as in DDPG (Lillicrap et al. 2016)."""
        near_zero = tf_keras.initializers.RandomUniform(-3e-3, 3e-3)
        return tf_keras.layers.Dense(units, activation, kernel_initializer=near_zero, name=name, dtype=tf.float32)

    def _advantage(self, online: QModelSpec, action: tf.Tensor) -> tf.Tensor:
        return ops.normalized_advantage(self._to_unit(action), online.a, ops.scale_tril(online.scale))

    def _to_unit(self, action: tf.Tensor) -> tf.Tensor:
        """From the bounds to [-1, 1]."""
        return (action - self.action_low) * (2.0 / (self.action_high - self.action_low)) - 1.0

    def _from_unit(self, action: tf.Tensor) -> tf.Tensor:
        """From [-1, 1] to the bounds."""
        unclipped = self.action_low + (action + 1.0) * (0.5 * (self.action_high - self.action_low))
        return tf.clip_by_value(unclipped, self.action_low, self.action_high)  # Rounding may leave them.

    def _bound(self, name: str, value: float | Sequence[float]) -> np.ndarray:
        plain = value.tolist() if isinstance(value, np.ndarray) else value
        each = plain if isinstance(plain, Sequence) and not isinstance(plain, str) else [plain]
        with np.errstate(over="ignore"):  # Infinity is refused by the constructor.
            values = np.array([check_float(name, number) for number in each], np.float32)
        if values.size not in (1, self.num_actions):
            raise ValueError(f"{name}={value!r} must be one number, or {self.num_actions}: one for each of num_actions.")
        return np.broadcast_to(values, [self.num_actions])
