"""`QuantileQPolicy`: acts by the mean, or the risk, of returns whose quantiles a network gives."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from polyrl import ops
from polyrl.policies import network
from polyrl.policies.base import Splitter
from polyrl.policies.categorical_q_policy import ValueDistribution
from polyrl.policies.specs import BoundedTensorSpec, TimeStep
from polyrl.policies.value import ValuePolicy
from polyrl.validation import check_float


class QuantileQPolicy(ValuePolicy):
    """Draws actions from `softmax(q / temperature)`, where `q` is the mean of equally likely returns (Dabney et al. 2018a).

    Args:
        time_step_spec: a `TimeStep` of specs.
        action_spec: a scalar integer `BoundedTensorSpec` with minimum 0.
        q_network: gives quantiles of the return, evenly spaced in probability, `[B, A, N]`; see `ValuePolicy` for how it is
            called.
        observation_and_action_constraint_splitter: see `BasePolicy`.
        temperature: at least 0; at or close to 0 the action is the argmax.
        risk_level: `q` is the mean of the worst returns, as many as have this probability together; 1.0 is the mean of all.
        emit_log_probability: see `BasePolicy`.
        validate_args: see `BasePolicy`.
        name: of the module.

    Raises:
        ValueError: if `risk_level` is not in [1e-6, 1].
        TypeError, ValueError: those of `ValuePolicy`.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: BoundedTensorSpec,
        q_network: Any,
        observation_and_action_constraint_splitter: Splitter | None = None,
        temperature: float = 1.0,
        *,
        risk_level: float = 1.0,
        emit_log_probability: bool = False,
        validate_args: bool = True,
        name: str | None = None,
    ):
        super().__init__(
            time_step_spec,
            action_spec,
            q_network,
            observation_and_action_constraint_splitter,
            temperature,
            emit_log_probability=emit_log_probability,
            validate_args=validate_args,
            name=name,
        )
        self._risk_level = check_float("risk_level", risk_level, ops.SMALLEST_RISK_LEVEL, 1.0)

    @property
    def risk_level(self) -> float:
        """The risk level given to the constructor."""
        self._given()
        return self._risk_level

    def value_distribution(self, time_step: TimeStep, policy_state: Any = ()) -> ValueDistribution:
        """The distribution over returns of each action, legal or not: its atoms, in order, float32 `[B, A, N]`, and their
        probabilities, all alike. Arguments and errors are those of `action`.
        """
        time_step, policy_state = self._checked(time_step, policy_state)
        observation, _ = self._split(time_step.observation)
        quantiles, _ = self._quantiles(observation, time_step.step_type, policy_state)
        atoms = tf.sort(self._numbers("quantiles", quantiles), axis=-1)
        return ValueDistribution(atoms, tf.ones_like(atoms) / tf.cast(tf.shape(atoms)[-1], atoms.dtype))

    def _values(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        quantiles, policy_state = self._quantiles(observation, step_type, policy_state)
        return self._valued(quantiles), policy_state

    def _value_outputs(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[dict[str, tf.Tensor], Any]:
        """Also `quantiles` of the returns, all as likely, in order, `[B, A, N]`."""
        quantiles, policy_state = self._quantiles(observation, step_type, policy_state)
        return {"q": self._valued(quantiles), "quantiles": tf.sort(quantiles, axis=-1)}, policy_state

    def _valued(self, quantiles: tf.Tensor) -> tf.Tensor:
        """The value of each distribution, `[B, A, N]` to `[B, A]`."""
        if self._risk_level == 1.0:
            return tf.reduce_mean(quantiles, axis=-1)
        return ops.quantile_value_at_risk(quantiles, self._risk_level)

    def _quantiles(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        """The quantiles, float32 `[B, A, N]`, and the next policy state."""
        quantiles, policy_state = network.call(self._q_network, observation, step_type, policy_state)
        if not quantiles.shape.is_compatible_with([None, self.num_actions, None]):
            raise ValueError(
                f"q_network gives quantiles of shape {tuple(quantiles.shape)}, expected [B, {self.num_actions}, N] by "
                "action_spec."
            )
        return tf.cast(quantiles, tf.float32), policy_state
