"""Policies that change the choice of another policy (greedy, epsilon-greedy, Boltzmann), and the uniformly random policy."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from polyrl.policies.arguments import Number, check_number, current_value
from polyrl.policies.base import BasePolicy, Splitter
from polyrl.policies.discrete import DiscretePolicy
from polyrl.policies.distributions import ActionDistribution, CategoricalActions
from polyrl.policies.masks import SMALLEST_TEMPERATURE, split_observation, tempered
from polyrl.policies.specs import BoundedTensorSpec, TimeStep


class WrappedPolicy(BasePolicy):
    """A policy that changes the action distribution of another; specs, splitter and options are those of the other."""

    def __init__(self, policy: BasePolicy, name: str | None = None):
        if not isinstance(policy, BasePolicy):
            raise TypeError(f"policy={policy!r} must be a BasePolicy.")
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
        self._given()
        return self._policy

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """The variables of the other policy; a variable that is an epsilon or a temperature is not among them."""
        return self.wrapped_policy.variables

    @property
    def num_actions(self) -> int:
        """The number of actions `A` of a policy over discrete actions; others have no such attribute."""
        return self.wrapped_policy.num_actions

    def _distribution(self, time_step: TimeStep, policy_state: Any) -> tuple[ActionDistribution, Any]:
        distribution, policy_state = self._policy._distribution(time_step, policy_state)
        return self._changed(distribution, time_step), policy_state

    def _changed(self, distribution: Any, time_step: TimeStep) -> ActionDistribution:
        """The new distribution."""
        raise NotImplementedError(f"{type(self).__name__} must define _changed; GreedyPolicy and others here do.")

    def _emits_density(self) -> bool:
        """Whether the side information is a density, which needs a temperature above 0."""
        return self.emit_log_probability and not _is_discrete(self)


class GreedyPolicy(WrappedPolicy):
    """Takes the most probable action of another policy: of discrete actions the first in case of ties, NAF's mean.

    Args:
        policy: the other policy.
        name: of the module.

    Raises:
        TypeError: if `policy` is not a policy.
        ValueError: if `policy` emits log-probabilities of continuous actions: a greedy one has no probability density.
    """

    def __init__(self, policy: BasePolicy, name: str | None = None):
        super().__init__(policy, name)
        if self._emits_density():
            raise ValueError(
                f"policy={policy!r} has emit_log_probability=True, but a greedy choice of a continuous action has no "
                "probability density: leave emit_log_probability off."
            )

    def _changed(self, distribution: ActionDistribution, time_step: TimeStep) -> ActionDistribution:
        return distribution.tempered(0.0)


class EpsilonGreedyPolicy(WrappedPolicy):
    """Takes, in each row, a uniformly random legal action with probability `epsilon`, else another policy's most probable one.

    The probabilities, and their logarithms, are those of this mixture.

    Args:
        policy: the other policy, over discrete actions.
        epsilon: in [0, 1]; a number, a scalar tensor or variable, or a function that returns one, called at each use.
        name: of the module.

    Raises:
        TypeError: if `policy` is not a policy over discrete actions.
        ValueError: if `epsilon` is not in [0, 1].
    """

    def __init__(self, policy: BasePolicy, epsilon: Number, name: str | None = None):
        super().__init__(policy, name)
        if not _is_discrete(policy):
            raise TypeError(
                f"policy={policy!r} must choose among discrete actions, got action_spec={policy.action_spec}; for random "
                "continuous actions give the policy a temperature."
            )
        self._epsilon = check_number("epsilon", epsilon, 0.0, 1.0)

    @property
    def epsilon(self) -> tf.Tensor:
        """The current probability of a random action, float32 `[]`."""
        self._given()
        return current_value("epsilon", self._epsilon, 0.0, 1.0)

    def _changed(self, distribution: CategoricalActions, time_step: TimeStep) -> CategoricalActions:
        # By the mask: the other policy's probabilities may be 0 for legal actions too.
        _, legal = split_observation(self.observation_and_action_constraint_splitter, time_step.observation, self.num_actions)
        logits = distribution.logits
        random = tf.nn.softmax(tempered(tf.zeros_like(logits), legal, 1.0))
        greedy = tf.nn.softmax(tempered(logits, None, 0.0))
        epsilon = self.epsilon
        return CategoricalActions(tf.math.log(epsilon * random + (1.0 - epsilon) * greedy), self.action_spec.dtype)


class BoltzmannPolicy(WrappedPolicy):
    """Draws with another policy's probabilities to the power of `1 / temperature`, renormalized.

    If the other policy draws from `softmax(q)`, this one draws from `softmax(q / temperature)`. The temperatures of a
    `NAFPolicy` and of its wrapper are multiplied.

    Args:
        policy: the other policy.
        temperature: at least 0, which is the argmax; a number, a scalar tensor or variable, or a function that returns one,
            called at each use. Above 0 if `policy` emits log-probabilities of continuous actions.
        name: of the module.

    Raises:
        TypeError: if `policy` is not a policy.
        ValueError: if the temperature is out of bounds.
    """

    def __init__(self, policy: BasePolicy, temperature: Number = 1.0, name: str | None = None):
        super().__init__(policy, name)
        self._temperature = check_number("temperature", temperature, 0.0, math.inf)
        # A density needs a temperature above 0; one that may change is checked at each call.
        self._minimum = SMALLEST_TEMPERATURE if self._emits_density() else 0.0
        if isinstance(self._temperature, float) and self._temperature < self._minimum:
            raise ValueError(
                f"temperature={temperature} must be above 0, since policy={policy!r} has emit_log_probability=True: an action "
                "that always equals the mean has no probability density."
            )

    @property
    def temperature(self) -> tf.Tensor:
        """The current temperature, float32 `[]`."""
        self._given()
        return current_value("temperature", self._temperature, self._minimum, math.inf)

    def _changed(self, distribution: ActionDistribution, time_step: TimeStep) -> ActionDistribution:
        return distribution.tempered(self.temperature)


class RandomPolicy(DiscretePolicy):
    """Draws each legal action with the same probability.

    Args:
        time_step_spec: a `TimeStep` of specs.
        action_spec: a scalar integer `BoundedTensorSpec` with minimum 0.
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


def _is_discrete(policy: BasePolicy) -> bool:
    return policy.action_spec.dtype.is_integer
