"""`ValuePolicy`: turns the action values of a network into probabilities, by masks and a temperature."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from polyrl.policies import network
from polyrl.policies.base import Splitter
from polyrl.policies.discrete import DiscretePolicy
from polyrl.policies.masks import tempered
from polyrl.policies.specs import BoundedTensorSpec, TimeStep
from polyrl.validation import check_float


class ValuePolicy(DiscretePolicy):
    """Draws actions from `softmax(values / temperature)`, among the legal ones. A subclass defines `_values`.

    Args:
        time_step_spec: a `TimeStep` of specs.
        action_spec: a scalar integer `BoundedTensorSpec` with minimum 0.
        q_network: a tf-keras model, called as `q_network(observation)`. Any other callable (a `tf.Module`, a function, or a
            tf-keras model whose `call` has an argument `network_state`) is called as
            `q_network(observation, step_type=, network_state=)` and returns `(output, network_state)`. A recurrent network
            describes its state by an attribute `state_spec`. The trainable variables that it reads are in its attribute
            `variables`.
        observation_and_action_constraint_splitter: see `BasePolicy`.
        temperature: at least 0; at or close to 0 the action is the argmax.
        emit_log_probability: see `BasePolicy`.
        validate_args: see `BasePolicy`.
        name: of the module.

    Raises:
        TypeError: if `q_network` cannot be called, and as `BasePolicy`.
        ValueError: if the temperature is negative, if a tf-keras model has a `state_spec` but its `call` no argument
            `network_state`, and as `DiscretePolicy`.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: BoundedTensorSpec,
        q_network: Any,
        observation_and_action_constraint_splitter: Splitter | None = None,
        temperature: float = 1.0,
        *,
        emit_log_probability: bool = False,
        validate_args: bool = True,
        name: str | None = None,
    ):
        super().__init__(
            time_step_spec,
            action_spec,
            network.state_spec(q_network),
            observation_and_action_constraint_splitter,
            emit_log_probability=emit_log_probability,
            validate_args=validate_args,
            name=name,
        )
        self._q_network = q_network
        self._temperature = check_float("temperature", temperature, 0.0)

    @property
    def temperature(self) -> float:
        """The temperature given to the constructor."""
        self._given()
        return self._temperature

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """The variables of the network; none if it has no attribute `variables`."""
        self._given()
        return network.variables(self._q_network)

    # What a subclass defines. -------------------------------------------------------------------------------------------

    def _values(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        """The value of each action, `[B, A]`, and the next policy state."""
        raise NotImplementedError(f"{type(self).__name__} must define _values; QPolicy and CategoricalQPolicy do.")

    def _value_outputs(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[dict[str, tf.Tensor], Any]:
        """What a server is told: `q`, the values, and what they were computed from; and the next policy state."""
        values, policy_state = self._values(observation, step_type, policy_state)
        return {"q": values}, policy_state

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _logits(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        observation, legal = self._split(time_step.observation)
        values, policy_state = self._values(observation, time_step.step_type, policy_state)
        return tempered(self._checked_values(values, legal), legal, self._temperature), policy_state

    def _served(self, time_step: TimeStep, policy_state: Any) -> tuple[dict[str, tf.Tensor], Any]:
        observation, legal = self._split(time_step.observation)
        outputs, policy_state = self._value_outputs(observation, time_step.step_type, policy_state)
        values = self._checked_values(outputs["q"], legal)
        action = tf.cast(tf.argmax(tempered(values, legal, 1.0), axis=1), self.action_spec.dtype)
        return {"action": action, **outputs, "q": values}, policy_state

    def _checked_values(self, values: tf.Tensor, legal: tf.Tensor | None) -> tf.Tensor:
        """The values as float32 `[B, A]`."""
        if not values.shape.is_compatible_with([None, self.num_actions]):
            raise ValueError(
                f"q_network gives values of shape {tuple(values.shape)}, expected [B, {self.num_actions}] by action_spec."
            )
        # In float32, also if the network computes in another precision: a temperature may be too small for float16.
        return self._numbers("action values", tf.cast(values, tf.float32), legal, lowest=True)
