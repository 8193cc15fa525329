"""Policies by another policy: greedy, epsilon-greedy, Boltzmann; and the random one, by none."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from polyrl.policies.arguments import Number, number_or_check, present
from polyrl.policies.base import BasePolicy, Splitter
from polyrl.policies.masks import tempered
from polyrl.policies.specs import BoundedTensorSpec, TimeStep


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
            emit_log_probability=policy.emit_log_probability,
            validate_args=policy.validate_args,
            name=name,
        )
        self._policy = policy

    @property
    def wrapped_policy(self) -> BasePolicy:
        """The other policy."""
        return self._policy

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """Those of the other policy; a variable that is an epsilon or a temperature is not among them."""
        return self.wrapped_policy.variables

    def _logits(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        logits, policy_state = self._policy._logits(time_step, policy_state)
        return self._changed(logits, time_step), policy_state

    def _changed(self, logits: tf.Tensor, time_step: TimeStep) -> tf.Tensor:
        """The new logits `[B, A]`."""
        raise NotImplementedError


class GreedyPolicy(WrappedPolicy):
    """Takes the most probable action of another policy, the first one of equals.

    Args:
        policy: the other.
        name: of the module.
    """

    def _changed(self, logits: tf.Tensor, time_step: TimeStep) -> tf.Tensor:
        return tempered(logits, None, 0.0)


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
        self._epsilon = number_or_check("epsilon", epsilon, 0.0, 1.0)

    @property
    def epsilon(self) -> tf.Tensor:
        """The probability of an action by chance, at present."""
        return present("epsilon", self._epsilon, 0.0, 1.0)

    def _changed(self, logits: tf.Tensor, time_step: TimeStep) -> tf.Tensor:
        # Not the actions the other policy may draw: it may draw one only.
        _, legal = self._split(time_step.observation)
        chance = tf.nn.softmax(tempered(tf.zeros_like(logits), legal, 1.0))
        greedy = tf.nn.softmax(tempered(logits, None, 0.0))
        epsilon = self.epsilon
        return tf.math.log(epsilon * chance + (1.0 - epsilon) * greedy)


class BoltzmannPolicy(WrappedPolicy):
    """Draws from another policy's probabilities to the power of `1 / temperature`: its logits over the temperature.

    Args:
        policy: the other; if it draws from `softmax(q)`, this one does from `softmax(q / temperature)`.
        temperature: at least 0, which is the argmax; a number, a scalar tensor or variable, or a function that gives one,
            asked at each call.
        name: of the module.
    """

    def __init__(self, policy: BasePolicy, temperature: Number = 1.0, name: str | None = None):
        super().__init__(policy, name)
        self._temperature = number_or_check("temperature", temperature, 0.0, math.inf)

    @property
    def temperature(self) -> tf.Tensor:
        """The temperature, at present."""
        return present("temperature", self._temperature, 0.0, math.inf)

    def _changed(self, logits: tf.Tensor, time_step: TimeStep) -> tf.Tensor:
        return tempered(logits, logits > float("-inf"), self.temperature)


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
        *,
        emit_log_probability: bool = False,
        validate_args: bool = True,
        name: str | None = None,
    ):
        super().__init__(
            time_step_spec,
            action_spec,
            (),
            observation_and_action_constraint_splitter,
            emit_log_probability=emit_log_probability,
            validate_args=validate_args,
            name=name,
        )

    def _logits(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        rows = tf.shape(time_step.step_type)[0]
        _, legal = self._split(time_step.observation)
        return tempered(tf.zeros([rows, self.num_actions]), legal, 1.0), policy_state
