"""`BasePolicy`: from a time step to an action, by values, masks and a temperature."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

from polyrl import ops
from polyrl.policies.specs import BoundedTensorSpec, PolicyStep, TimeStep
from polyrl.validation import check_float

import tensorflow as tf
import tf_keras

Splitter = Callable[[Any], tuple[Any, tf.Tensor]]


class BasePolicy:
    """A policy over one discrete action, chosen by the values a network gives.

    Args:
        time_step_spec: a `TimeStep` of specs.
        action_spec: a scalar integer `BoundedTensorSpec` that starts at 0.
        q_network: a tf-keras model, called as `q_network(observation)`; or anything called as
            `q_network(observation, step_type=, network_state=)` that returns `(output, network_state)`.
        observation_and_action_constraint_splitter: splits an observation into what the network gets and a mask `[B, A]` of the
            legal actions (nonzero).
        temperature: actions are drawn from `softmax(values / temperature)`; 0 is the argmax.

    Raises:
        TypeError: if `action_spec` is no `BoundedTensorSpec`, or `time_step_spec` no `TimeStep`.
        ValueError: if the action is not a scalar integer from 0, or the temperature is negative.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: BoundedTensorSpec,
        q_network: Any,
        observation_and_action_constraint_splitter: Splitter | None = None,
        temperature: float = 1.0,
    ):
        if not isinstance(time_step_spec, TimeStep):
            raise TypeError(f"time_step_spec={time_step_spec!r} must be a TimeStep of specs.")
        if not isinstance(action_spec, BoundedTensorSpec):
            raise TypeError(f"action_spec={action_spec!r} must be a BoundedTensorSpec.")
        if action_spec.shape != () or not action_spec.dtype.is_integer or action_spec.minimum != 0:
            raise ValueError(f"action_spec={action_spec} must be one integer, of shape () and minimum 0.")
        if not callable(q_network):
            raise TypeError(f"q_network={q_network!r} must be callable.")
        self._time_step_spec = time_step_spec
        self._action_spec = action_spec
        self._q_network = q_network
        self._splitter = observation_and_action_constraint_splitter
        self._temperature = check_float("temperature", temperature, 0.0)
        # Less than a float32 can divide by is zero.
        self._greedy = self._temperature < tf.float32.as_numpy_dtype(1.2e-38)

    @property
    def time_step_spec(self) -> TimeStep:
        """Describes the time steps `action` and `distribution` take."""
        return self._time_step_spec

    @property
    def action_spec(self) -> BoundedTensorSpec:
        """Describes the action."""
        return self._action_spec

    @property
    def observation_and_action_constraint_splitter(self) -> Splitter | None:
        """The function given to the constructor."""
        return self._splitter

    @property
    def num_actions(self) -> int:
        """How many actions there are."""
        return int(self._action_spec.maximum) + 1

    @property
    def temperature(self) -> float:
        """The temperature given to the constructor."""
        return self._temperature

    def get_initial_state(self, batch_size: Any = None) -> Any:
        """The state to begin with: these policies have none, `()`."""
        return ()

    def action(self, time_step: TimeStep, policy_state: Any = (), seed: Any = None) -> PolicyStep:
        """Chooses an action for each row.

        Args:
            time_step: a batch of time steps.
            policy_state: the state given by the last call.
            seed: an int or an int tensor `[2]`; the same seed draws the same actions.

        Returns:
            `PolicyStep(action [B], state, info)`.
        """
        values, policy_state = self._masked_values(time_step, policy_state)
        if self._greedy:
            return PolicyStep(tf.cast(tf.argmax(values, axis=1), self._action_spec.dtype), policy_state)
        actions = ops.sample_categorical(self._logits(values), _stateless_seed(seed))
        return PolicyStep(tf.cast(actions, self._action_spec.dtype), policy_state)

    def distribution(self, time_step: TimeStep, policy_state: Any = ()) -> PolicyStep:
        """The distribution over the next action of each row, a `tfp.distributions.Categorical`, as `PolicyStep.action`."""
        values, policy_state = self._masked_values(time_step, policy_state)
        # Imported here: it takes a second, and acting does without it.
        import tensorflow_probability as tfp

        categorical = tfp.distributions.Categorical(logits=self._logits(values), dtype=self._action_spec.dtype)
        return PolicyStep(categorical, policy_state)

    def _values(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        """The value of each action, `[B, A]`, and the next policy state."""
        raise NotImplementedError

    def _network_output(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        if isinstance(self._q_network, tf_keras.layers.Layer):
            return self._q_network(observation), policy_state
        return self._q_network(observation, step_type=step_type, network_state=policy_state)

    def _masked_values(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        """Values with minus infinity for illegal actions; a row without a legal action is an error."""
        observation, mask = time_step.observation, None
        if self._splitter is not None:
            observation, mask = self._splitter(observation)
        values, policy_state = self._values(observation, time_step.step_type, policy_state)
        # Of whatever precision the network is: a temperature may be less than a float16 can hold.
        values = tf.cast(values, tf.float32)
        if values.shape.rank != 2 or not values.shape[1:].is_compatible_with([self.num_actions]):
            raise ValueError(
                f"q_network gives values of shape {tuple(values.shape)}; action_spec asks for [B, {self.num_actions}]."
            )
        if mask is None:
            return values, policy_state
        legal = tf.cast(mask, tf.bool)
        if not legal.shape.is_compatible_with(values.shape):
            raise ValueError(f"The mask has shape {tuple(legal.shape)}; the values ask for {tuple(values.shape)}.")
        check = tf.debugging.assert_equal(
            tf.reduce_any(legal, axis=1), True, message="The mask leaves a row without any legal action."
        )
        with tf.control_dependencies([check] if check is not None else []):
            return tf.where(legal, values, tf.fill(tf.shape(values), values.dtype.min)), policy_state

    def _logits(self, values: tf.Tensor) -> tf.Tensor:
        """Of the distribution over actions, `[B, A]`: minus infinity for what must not be drawn."""
        nothing = tf.fill(tf.shape(values), tf.constant(float("-inf"), values.dtype))
        if self._greedy:
            chosen = tf.one_hot(tf.argmax(values, axis=1), self.num_actions, on_value=True, off_value=False)
            return tf.where(chosen, tf.zeros_like(values), nothing)
        # The best value becomes 0 first, so that a small temperature cannot overflow.
        best = tf.reduce_max(values, axis=1, keepdims=True)
        return tf.where(values > values.dtype.min, (values - best) / self._temperature, nothing)


def _stateless_seed(seed: Any) -> tf.Tensor:
    """An integer of any size, or a tensor `[2]`, as an int32 tensor `[2]`; for None one that nothing repeats."""
    if seed is None:
        return tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
    if isinstance(seed, numbers.Integral):
        number = int(seed)
        return tf.constant([number & 0x7FFFFFFF, number >> 31 & 0x7FFFFFFF])
    return tf.cast(seed, tf.int32)
