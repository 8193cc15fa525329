"""`DiscretePolicy`: policies that choose one of `A` actions, among the legal ones."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from polyrl.policies.base import BasePolicy
from polyrl.policies.distributions import CategoricalActions
from polyrl.policies.masks import split_observation
from polyrl.policies.nests import check_nest
from polyrl.policies.specs import BoundedTensorSpec, TensorSpec, TimeStep


class DiscretePolicy(BasePolicy):
    """Chooses one of `A` discrete actions for each row. A subclass defines `_logits`.

    The arguments are those of `BasePolicy`; `action_spec` is a scalar integer `BoundedTensorSpec` with minimum 0.

    Raises:
        ValueError: if the action is not a scalar integer with minimum 0.
    """

    @property
    def num_actions(self) -> int:
        """The number of actions `A`."""
        return int(self.action_spec.maximum) + 1

    def _logits(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        """The actions' log-probabilities up to a constant in each row, float32 `[B, A]`; and the next policy state.

        Minus infinity for an action that must not be drawn.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _logits, or be a subclass of ValuePolicy.")

    def _distribution(self, time_step: TimeStep, policy_state: Any) -> tuple[CategoricalActions, Any]:
        logits, policy_state = self._logits(time_step, policy_state)
        if self.validate_args:
            check_nest("logits", logits, TensorSpec([self.num_actions], tf.float32))
            logits = self._numbers("logits", logits, lowest=True)
        return CategoricalActions(logits, self.action_spec.dtype), policy_state

    def _check_action_spec(self, action_spec: BoundedTensorSpec) -> None:
        if action_spec.shape != () or not action_spec.dtype.is_integer or action_spec.minimum != 0:
            raise ValueError(f"action_spec={action_spec} must be one integer, of shape () and minimum 0.")

    def _split(self, observation: Any) -> tuple[Any, tf.Tensor | None]:
        """The network's input, and which actions are legal: bool `[B, A]`, None if all are."""
        return split_observation(self.observation_and_action_constraint_splitter, observation, self.num_actions)
