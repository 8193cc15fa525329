"""Policies by another policy: greedy, epsilon-greedy, Boltzmann; and the random one, by none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polyrl.policies.base import BasePolicy, Splitter
from polyrl.policies.specs import BoundedTensorSpec, TimeStep
from polyrl.policies.value import check_legal, tempered
from polyrl.validation import check_float

import tensorflow as tf

Number = float | tf.Tensor | tf.Variable | Callable[[], Any]


class WrappedPolicy(BasePolicy):
    """A policy that changes the probabilities of another; specs, masks and options are that one's."""

    def __init__(self, policy: BasePolicy, name: str | None = None):
        if not isinstance(policy, BasePolicy):
            raise TypeError(f"policy={policy!r} must be a policy.")
        super().__init__(
            policy.time_step_spec,
            policy.action_spec,
            policy.policy_state_spec,
            policy.observation_and_action_constraint_splitter,
            policy.emit_log_probability,
            policy.validate_args,
            name,
        )
        self._policy = policy

    @property
    def wrapped_policy(self) -> BasePolicy:
        """The other policy."""
        return self._policy

    def _logits(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        logits, policy_state = self._policy._logits(time_step, policy_state)
        return self._changed(logits), policy_state

    def _changed(self, logits: tf.Tensor) -> tf.Tensor:
        """The new logits `[B, A]`; what is minus infinity, not legal, stays so."""
        raise NotImplementedError


class GreedyPolicy(WrappedPolicy):
    """Takes the most probable action of another policy, the first one of equals."""

    def _changed(self, logits: tf.Tensor) -> tf.Tensor:
        return tempered(logits, _legal(logits), 0.0)


class EpsilonGreedyPolicy(WrappedPolicy):
    """Takes the most probable action of another policy, or with probability `epsilon` a legal one by chance, row by row.

    The probabilities, and their logarithms, are those of this mixture.

    Args:
        policy: the other.
        epsilon: in [0, 1]; a number, a scalar tensor or variable, or a function that gives one, asked at each call.
        name: of the module.
    """

    def __init__(self, policy: BasePolicy, epsilon: Number, name: str | None = None):
        super().__init__(policy, name)
        self._epsilon = epsilon if callable(epsilon) or tf.is_tensor(epsilon) else check_float("epsilon", epsilon, 0.0, 1.0)

    @property
    def epsilon(self) -> Any:
        """The probability of an action by chance, at present."""
        return self._epsilon() if callable(self._epsilon) else self._epsilon

    def _changed(self, logits: tf.Tensor) -> tf.Tensor:
        epsilon = tf.convert_to_tensor(self.epsilon, tf.float32)
        legal = _legal(logits)
        chance = tf.cast(legal, tf.float32) / tf.reduce_sum(tf.cast(legal, tf.float32), axis=1, keepdims=True)
        greedy = tf.nn.softmax(tempered(logits, legal, 0.0))
        return tf.math.log(epsilon * chance + (1.0 - epsilon) * greedy)


class BoltzmannPolicy(WrappedPolicy):
    """Draws from another policy's probabilities to the power of `1 / temperature`: its logits over the temperature.

    Args:
        policy: the other; if it draws from `softmax(q)`, this one does from `softmax(q / temperature)`.
        temperature: at least 0, which is the argmax; a number, a scalar tensor or variable above 0, or a function that gives
            one, asked at each call.
        name: of the module.
    """

    def __init__(self, policy: BasePolicy, temperature: Number = 1.0, name: str | None = None):
        super().__init__(policy, name)
        given = callable(temperature) or tf.is_tensor(temperature)
        self._temperature = temperature if given else check_float("temperature", temperature, 0.0)

    @property
    def temperature(self) -> Any:
        """The temperature, at present."""
        return self._temperature() if callable(self._temperature) else self._temperature

    def _changed(self, logits: tf.Tensor) -> tf.Tensor:
        temperature = self.temperature
        return tempered(logits, _legal(logits), tf.cast(temperature, tf.float32) if tf.is_tensor(temperature) else temperature)


class RandomPolicy(BasePolicy):
    """Draws each legal action with the same probability.

    Args:
        time_step_spec: a `TimeStep` of specs.
        action_spec: a scalar integer `BoundedTensorSpec` that starts at 0.
        observation_and_action_constraint_splitter: see `BasePolicy`.
        emit_log_probability: see `BasePolicy`.
        validate_args: see `BasePolicy`.
        name: of the module.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: BoundedTensorSpec,
        observation_and_action_constraint_splitter: Splitter | None = None,
        emit_log_probability: bool = False,
        validate_args: bool = True,
        name: str | None = None,
    ):
        super().__init__(
            time_step_spec,
            action_spec,
            (),
            observation_and_action_constraint_splitter,
            emit_log_probability,
            validate_args,
            name,
        )

    def _logits(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        rows = tf.shape(tf.nest.flatten(time_step.observation)[0])[0]
        values = tf.zeros([rows, self.num_actions])
        if self._splitter is None:
            return values, policy_state
        legal = check_legal(self._splitter(time_step.observation)[1], tf.TensorShape([None, self.num_actions]))
        return tempered(values, legal, 1.0), policy_state


def _legal(logits: tf.Tensor) -> tf.Tensor:
    """Which actions may be drawn, bool `[B, A]`."""
    return logits > float("-inf")
