"""NAF: Q-learning with continuous actions by normalized advantage functions (Gu et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras

from polyrl import ops
from polyrl.configs import ExplorationConfig, LossConfig, MetricConfig, OptimizerConfig
from polyrl.models.arguments import TARGET_UPDATE_FREQUENCY
from polyrl.models.base import GraphFn
from polyrl.models.heads import Head
from polyrl.models.policy_network import PolicyNetwork
from polyrl.models.q_model import BaseQModel
from polyrl.models.q_network import QModelSpec
from polyrl.models.records import Batch, Forward
from polyrl.policies import BasePolicy, BoundedTensorSpec, NAFPolicy, TimeStep
from polyrl.policies.base import Splitter
from polyrl.validation import check_bool, check_float


class NAFHead(Head):
    """The best action `mu(s)`, its value `V(s)`, and how the value falls off around it; in units of half the actions' range.

    Args:
        low: the lowest action, float32 `[k]`.
        high: the highest.
    """

    NEEDED: ClassVar[tuple[str, ...]] = ("q", "a", "scale")

    def __init__(self, low: np.ndarray, high: np.ndarray):
        self._low, self._high, self._size = low, high, len(low)
        self.action_spec = BoundedTensorSpec((self._size,), tf.float32, low, high, name="action")

    def __call__(self, outputs: tf.Tensor) -> QModelSpec:
        # While V is far off, the loss drives the mean away from all actions taken. A tanh at its end has no gradient to come
        # back by, a softsign has.
        mean = self._near_zero(self._size, "mean", "softsign")(outputs)  # [B, k], in units of half the range
        value = tf_keras.layers.Dense(1, name="value", dtype=tf.float32)(outputs)  # [B, 1]
        scale = self._near_zero(self._size * (self._size + 1) // 2, "scale")(outputs)  # [B, k (k + 1) / 2]
        return QModelSpec(outputs, mean, value, value[:, 0], scale=scale)

    def greedy_actions(self, spec: QModelSpec, mask: tf.Tensor | None = None) -> tf.Tensor:
        return self.actions(spec.a)

    def preferred(self, spec: QModelSpec) -> tf.Tensor:
        return spec.a

    def actions(self, chosen: tf.Tensor) -> tf.Tensor:
        """From [-1, 1] to the bounds."""
        unclipped = self._low + (chosen + 1.0) * (0.5 * (self._high - self._low))
        return tf.clip_by_value(unclipped, self._low, self._high)  # Rounding may leave them.

    def evaluate(self, spec: QModelSpec, action: tf.Tensor) -> tf.Tensor:
        return spec.q + self.advantage(spec, action)

    def advantage(self, spec: QModelSpec, action: tf.Tensor) -> tf.Tensor:
        """How much worse than the best one an action `[B, k]` is, never positive, `[B]`."""
        return ops.normalized_advantage(self._to_unit(action), spec.a, ops.scale_tril(spec.scale))

    def policy_output(self, spec: QModelSpec) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return spec.a, spec.scale, spec.q

    def policy(
        self, time_step_spec: TimeStep, network: PolicyNetwork, splitter: Splitter | None, temperature: float
    ) -> BasePolicy:
        return NAFPolicy(time_step_spec, self.action_spec, network, temperature=temperature)

    def _near_zero(self, units: int, name: str, activation: str | None = None) -> tf_keras.layers.Layer:
        """A layer whose output is near 0 at first, as in DDPG (Lillicrap et al. 2016)."""
        near_zero = tf_keras.initializers.RandomUniform(-3e-3, 3e-3)
        return tf_keras.layers.Dense(units, activation, kernel_initializer=near_zero, name=name, dtype=tf.float32)

    def _to_unit(self, action: tf.Tensor) -> tf.Tensor:
        """From the bounds to [-1, 1]."""
        return (action - self._low) * (2.0 / (self._high - self._low)) - 1.0


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
        target_update_frequency: int = TARGET_UPDATE_FREQUENCY,
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
        target_update_timesteps: int | None = None,
        action_low: float | Sequence[float] = -1.0,
        action_high: float | Sequence[float] = 1.0,
    ):
        if dueling is not None and not (isinstance(dueling, (bool, np.bool_)) and dueling):
            raise ValueError(
                f"dueling={dueling!r} must be left out: NAF always has heads for value and advantage. A program with polyrl's "
                "flags decides so by cli.set_defaults(dueling='none')."
            )
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
            target_update_timesteps=target_update_timesteps,
        )
        self.action_low = self._bound("action_low", action_low)
        self.action_high = self._bound("action_high", action_high)
        with np.errstate(over="ignore", invalid="ignore"):
            width = self.action_high - self.action_low
        if not np.all((width > 0.0) & np.isfinite(width)):
            raise ValueError(
                f"action_low={action_low} must be below action_high={action_high}, by no more than float32 holds."
            )

    def _build_head(self) -> NAFHead:
        return NAFHead(self.action_low, self.action_high)

    def _build_td_loss(self, batch: Batch, forward: Forward) -> ops.LossOutput:
        advantage, value = self._naf.advantage(forward.online, batch.action), forward.online.q
        loss_fn, next_value = self.loss_config.build(), forward.next_target.q
        return ops.normalized_q_learning(advantage, value, batch.reward, batch.discount, next_value, loss_fn)

    def _build_predictions(self, results: tf.Tensor, features: Any, labels: Any) -> dict[str, tf.Tensor]:
        """`results` (the action) and `mean` (the best one) `[B, k]`; `q`, `a` and `v` `[B]`; `graph_results`.

        `q` and `a` are computed for the labels' action if there is one, else for `results`. With labels, also `td_error`
        `[B]`.
        """
        online, head = self._online(), self._naf
        advantage = head.advantage(online, results if labels is None else labels["action"])
        predictions = super()._build_predictions(results, features, labels)
        return {**predictions, "mean": head.greedy_actions(online), "a": advantage, "v": online.q, "q": online.q + advantage}

    # Parts. -------------------------------------------------------------------------------------------------------------

    @property
    def _naf(self) -> NAFHead:
        assert isinstance(self.head, NAFHead)
        return self.head

    def _bound(self, name: str, value: float | Sequence[float]) -> np.ndarray:
        plain = value.tolist() if isinstance(value, np.ndarray) else value
        each = plain if isinstance(plain, Sequence) and not isinstance(plain, str) else [plain]
        with np.errstate(over="ignore"):  # Infinity is refused by the constructor.
            values = np.array([check_float(name, number) for number in each], np.float32)
        if values.size not in (1, self.num_actions):
            raise ValueError(f"{name}={value!r} must be one number, or {self.num_actions}: one for each of num_actions.")
        return np.broadcast_to(values, [self.num_actions])
