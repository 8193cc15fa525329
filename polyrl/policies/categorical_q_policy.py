"""`CategoricalQPolicy`: acts by the mean, or the risk, of a categorical return distribution."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from polyrl import ops
from polyrl.policies import network
from polyrl.policies.base import Splitter
from polyrl.policies.specs import BoundedTensorSpec, TimeStep
from polyrl.policies.value import ValuePolicy
from polyrl.validation import check_float, check_int


class ValueDistribution(NamedTuple):
    """Distributions over returns: `atoms` float32 `[N]`, or of quantiles `[B, A, N]`; `probabilities` float32 `[B, A, N]`."""

    atoms: tf.Tensor
    probabilities: tf.Tensor


class CategoricalQPolicy(ValuePolicy):
    """Draws actions from `softmax(q / temperature)`, where `q = sum_i softmax(logits)_i z_i` (Bellemare et al. 2017).

    Args:
        time_step_spec: a `TimeStep` of specs.
        action_spec: a scalar integer `BoundedTensorSpec` with minimum 0.
        q_network: gives logits `[B, A, N]` and has the attribute `num_atoms`; see `ValuePolicy` for how it is called.
        min_q_value: the lowest atom of the support.
        max_q_value: the highest atom.
        observation_and_action_constraint_splitter: see `BasePolicy`.
        temperature: at least 0; at or close to 0 the action is the argmax.
        risk_level: `q` is the mean of the worst returns, as many as have this probability together (the conditional value at
            risk, Rockafellar & Uryasev 2000); 1.0 is the mean of all returns.
        emit_log_probability: see `BasePolicy`.
        validate_args: see `BasePolicy`.
        name: of the module.

    Raises:
        ValueError: if `q_network` has no `num_atoms`, if `min_q_value >= max_q_value`, if the atoms are not
            finite and different in float32, or if `risk_level` is not in
            [1e-6, 1].
        TypeError: if `action_spec` is not a `BoundedTensorSpec`; and the errors of `ValuePolicy`.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: BoundedTensorSpec,
        q_network: Any,
        min_q_value: float,
        max_q_value: float,
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
        num_atoms = getattr(q_network, "num_atoms", None)
        if num_atoms is None:
            raise ValueError(f"q_network={q_network!r} must have the attribute num_atoms.")
        low, high = check_float("min_q_value", min_q_value), check_float("max_q_value", max_q_value)
        if low >= high:
            raise ValueError(f"min_q_value={min_q_value} must be below max_q_value={max_q_value}.")
        self._num_atoms = check_int("num_atoms", num_atoms, minimum=2)
        try:
            ops.support(low, high, self._num_atoms)
        except ValueError as error:
            raise ValueError(f"min_q_value={low}, max_q_value={high}: {error}") from None
        self._low, self._high = low, high
        self._risk_level = check_float("risk_level", risk_level, ops.SMALLEST_RISK_LEVEL, 1.0)

    @property
    def support(self) -> tf.Tensor:
        """The atoms, float32 `[N]`."""
        self._given()
        return ops.support(self._low, self._high, self._num_atoms)

    @property
    def risk_level(self) -> float:
        """The risk level given to the constructor."""
        self._given()
        return self._risk_level

    def value_distribution(self, time_step: TimeStep, policy_state: Any = ()) -> ValueDistribution:
        """The distribution over returns of each action, legal or not; arguments and errors are those of `action`."""
        time_step, policy_state = self._checked(time_step, policy_state)
        observation, _ = self._split(time_step.observation)
        probabilities, _ = self._probabilities(observation, time_step.step_type, policy_state)
        return ValueDistribution(self.support, self._numbers("probabilities", probabilities))

    def _values(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        probabilities, policy_state = self._probabilities(observation, step_type, policy_state)
        return self._valued(probabilities), policy_state

    def _value_outputs(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[dict[str, tf.Tensor], Any]:
        """Also `probabilities` `[B, A, N]` of the returns in `support` `[B, N]`, the same in each row."""
        probabilities, policy_state = self._probabilities(observation, step_type, policy_state)
        support = tf.zeros_like(probabilities[:, 0, :]) + self.support
        return {"q": self._valued(probabilities), "probabilities": probabilities, "support": support}, policy_state

    def _valued(self, probabilities: tf.Tensor) -> tf.Tensor:
        """The value of each distribution, `[B, A, N]` to `[B, A]`."""
        if self._risk_level == 1.0:
            return ops.expected_value(probabilities, self.support)
        return ops.conditional_value_at_risk(probabilities, self.support, self._risk_level)

    def _probabilities(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        """The atoms' probabilities, float32 `[B, A, N]`, and the next policy state."""
        logits, policy_state = network.call(self._q_network, observation, step_type, policy_state)
        expected = [None, self.num_actions, self._num_atoms]
        if not logits.shape.is_compatible_with(expected):
            raise ValueError(
                f"q_network gives logits of shape {tuple(logits.shape)}, expected [B, {self.num_actions}, {self._num_atoms}] "
                "by action_spec and num_atoms."
            )
        return tf.nn.softmax(tf.cast(logits, tf.float32)), policy_state
