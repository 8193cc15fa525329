"""`ValuePolicy`: from the values a network gives, by masks and a temperature, to the probabilities of actions."""

from __future__ import annotations

from typing import Any

from polyrl.policies.base import BasePolicy, Splitter
from polyrl.policies.specs import BoundedTensorSpec, TimeStep
from polyrl.validation import check_float

import tensorflow as tf
import tf_keras


class ValuePolicy(BasePolicy):
    """Draws actions from `softmax(values / temperature)`, among the legal ones.

    Args:
        time_step_spec: a `TimeStep` of specs.
        action_spec: a scalar integer `BoundedTensorSpec` that starts at 0.
        q_network: a tf-keras model, called as `q_network(observation)`; or anything called as
            `q_network(observation, step_type=, network_state=)` that returns `(output, network_state)`. A recurrent one of the
            latter kind says what its state is by the attribute `state_spec`.
        observation_and_action_constraint_splitter: see `BasePolicy`.
        temperature: when close to 0.0, and at 0.0, the action is the argmax.
        emit_log_probability: see `BasePolicy`.
        validate_args: see `BasePolicy`.
        name: of the module.

    Raises:
        TypeError: if `q_network` cannot be called, and as `BasePolicy`.
        ValueError: if the temperature is negative, and as `BasePolicy`.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: BoundedTensorSpec,
        q_network: Any,
        observation_and_action_constraint_splitter: Splitter | None = None,
        temperature: float = 1.0,
        emit_log_probability: bool = False,
        validate_args: bool = True,
        name: str | None = None,
    ):
        if not callable(q_network):
            raise TypeError(f"q_network={q_network!r} must be callable.")
        super().__init__(
            time_step_spec,
            action_spec,
            getattr(q_network, "state_spec", ()),
            observation_and_action_constraint_splitter,
            emit_log_probability,
            validate_args,
            name,
        )
        self._q_network = q_network
        self._temperature = check_float("temperature", temperature, 0.0)

    @property
    def temperature(self) -> float:
        """The temperature given to the constructor."""
        return self._temperature

    # What a subclass gives. ---------------------------------------------------------------------------------------------

    def _values(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        """The value of each action, `[B, A]`, and the next policy state."""
        raise NotImplementedError

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _network_output(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        if isinstance(self._q_network, tf_keras.layers.Layer):
            return self._q_network(observation), policy_state
        return self._q_network(observation, step_type=step_type, network_state=policy_state)

    def _split(self, observation: Any) -> tuple[Any, tf.Tensor | None]:
        """What the network gets, and the mask `[B, A]` if there is one."""
        return (observation, None) if self._splitter is None else self._splitter(observation)

    def _logits(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        observation, mask = self._split(time_step.observation)
        values, policy_state = self._values(observation, time_step.step_type, policy_state)
        # Of whatever precision the network is: a temperature may be less than a float16 can hold.
        values = tf.cast(values, tf.float32)
        if values.shape.rank != 2 or not values.shape[1:].is_compatible_with([self.num_actions]):
            raise ValueError(
                f"q_network gives values of shape {tuple(values.shape)}; action_spec asks for [B, {self.num_actions}]."
            )
        legal = None if mask is None else check_legal(mask, values.shape)
        return tempered(values, legal, self._temperature), policy_state


def check_legal(mask: Any, shape: tf.TensorShape) -> tf.Tensor:
    """A mask as bool `[B, A]`.

    Raises:
        ValueError: for another shape.
        tf.errors.InvalidArgumentError: for a row without any legal action.
    """
    legal = tf.cast(mask, tf.bool)
    if not legal.shape.is_compatible_with(shape):
        raise ValueError(f"The mask has shape {tuple(legal.shape)}; the values ask for {tuple(shape)}.")
    check = tf.debugging.assert_equal(
        tf.reduce_any(legal, axis=1), True, message="The mask leaves a row without any legal action."
    )
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(legal)


def tempered(values: tf.Tensor, legal: tf.Tensor | None, temperature: Any) -> tf.Tensor:
    """Logits `[B, A]` of `softmax(values / temperature)` among the legal actions; minus infinity for the others.

    At temperature 0, or one that float32 cannot divide by, all is on the best action, the first one of equals.
    """
    nothing = tf.fill(tf.shape(values), tf.constant(float("-inf"), values.dtype))
    if legal is not None:
        # Lower than all that are legal, even if those are minus infinity: the argmax must be a legal one.
        lowest = tf.fill(tf.shape(values), values.dtype.min)
        values = tf.where(legal, tf.maximum(values, values.dtype.min), lowest)
    legal = tf.ones_like(values, tf.bool) if legal is None else legal
    rank = tf.where(legal, values, nothing)
    best = tf.reduce_max(rank, axis=1, keepdims=True)
    if not tf.is_tensor(temperature) and temperature < _TINY:
        chosen = tf.one_hot(tf.argmax(rank, axis=1), values.shape[1] or tf.shape(values)[1], on_value=True, off_value=False)
        return tf.where(chosen, tf.zeros_like(values), nothing)
    # The best value becomes 0 first, so that a small temperature cannot overflow.
    return tf.where(legal, (values - best) / temperature, nothing)


_TINY = 1.2e-38
"""Less than a float32 can divide by."""
