"""`ValuePolicy`: from the values a network gives, by masks and a temperature, to the probabilities of actions."""

from __future__ import annotations

import inspect
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.policies.base import BasePolicy, Splitter
from polyrl.policies.masks import tempered
from polyrl.policies.nests import is_empty
from polyrl.policies.specs import BoundedTensorSpec, TimeStep
from polyrl.validation import check_float


class ValuePolicy(BasePolicy):
    """Draws actions from `softmax(values / temperature)`, among the legal ones.

    Args:
        time_step_spec: a `TimeStep` of specs.
        action_spec: a scalar integer `BoundedTensorSpec` that starts at 0.
        q_network: a tf-keras model, called as `q_network(observation)`; or whatever (a tf-keras model whose `call` has an
            argument `network_state` too) is called as `q_network(observation, step_type=, network_state=)` and returns
            `(output, network_state)`. A recurrent one says what its state is by the attribute `state_spec`.
        observation_and_action_constraint_splitter: see `BasePolicy`.
        temperature: when close to 0.0, and at 0.0, the action is the argmax.
        emit_log_probability: see `BasePolicy`.
        validate_args: see `BasePolicy`.
        name: of the module.

    Raises:
        TypeError: if `q_network` cannot be called, and as `BasePolicy`.
        ValueError: if the temperature is negative, if a tf-keras model has a `state_spec` but its `call` no argument
            `network_state`, and as `BasePolicy`.
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
        if not callable(q_network):
            raise TypeError(f"q_network={q_network!r} must be callable.")
        state_spec = getattr(q_network, "state_spec", ())
        if _is_plain(q_network) and not is_empty(state_spec):
            raise ValueError(f"q_network={q_network!r} has a state_spec, but its call has no argument network_state.")
        super().__init__(
            time_step_spec,
            action_spec,
            state_spec,
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
        return self._temperature

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """Those of the network; none if it does not show them by an attribute `variables`."""
        self._given()
        return tuple(getattr(self._q_network, "variables", ()))

    # What a subclass gives. ---------------------------------------------------------------------------------------------

    def _values(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        """The value of each action, `[B, A]`, and the next policy state."""
        raise NotImplementedError

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _network_output(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        if _is_plain(self._q_network):
            return self._q_network(observation), policy_state
        result = self._q_network(observation, step_type=step_type, network_state=policy_state)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise ValueError(f"q_network must return (output, network_state); got {result!r}.")
        return result[0], result[1]

    def _logits(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        observation, legal = self._split(time_step.observation)
        values, policy_state = self._values(observation, time_step.step_type, policy_state)
        if not values.shape.is_compatible_with([None, self.num_actions]):
            raise ValueError(
                f"q_network gives values of shape {tuple(values.shape)}; action_spec asks for [B, {self.num_actions}]."
            )
        # Of whatever precision the network is: a temperature may be less than a float16 can hold.
        return tempered(tf.cast(values, tf.float32), legal, self._temperature), policy_state


def _is_plain(network: Any) -> bool:
    """Whether a network takes an observation only: a tf-keras layer or model that knows of no `network_state`."""
    return isinstance(network, tf_keras.layers.Layer) and "network_state" not in inspect.signature(network.call).parameters
