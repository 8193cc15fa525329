"""`CategoricalQPolicy`: acts by the expectation of a categorical return distribution."""

from __future__ import annotations

from typing import Any

from polyrl import ops
from polyrl.policies.base import BasePolicy, Splitter
from polyrl.policies.specs import BoundedTensorSpec, TimeStep
from polyrl.validation import check_float, check_int

import tensorflow as tf


class CategoricalQPolicy(BasePolicy):
    """Draws actions from `softmax(q / temperature)`, where `q = sum_i softmax(logits)_i z_i` (Bellemare et al. 2017).

    Args:
        time_step_spec: a `TimeStep` of specs.
        action_spec: a scalar integer `BoundedTensorSpec` that starts at 0.
        q_network: gives logits `[B, A, N]` and has the attribute `num_atoms`; see `BasePolicy` for how it is called.
        min_q_value: the lowest atom of the support.
        max_q_value: the highest atom.
        observation_and_action_constraint_splitter: see `BasePolicy`.
        temperature: when close to 0.0, and at 0.0, the action is the argmax.

    Raises:
        ValueError: if `q_network` has no `num_atoms`, or `min_q_value >= max_q_value`.
        TypeError: if `action_spec` is no `BoundedTensorSpec`.
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
    ):
        num_atoms = getattr(q_network, "num_atoms", None)
        if num_atoms is None:
            raise ValueError(f"q_network={q_network!r} must have the property num_atoms.")
        super().__init__(time_step_spec, action_spec, q_network, observation_and_action_constraint_splitter, temperature)
        low, high = check_float("min_q_value", min_q_value), check_float("max_q_value", max_q_value)
        if low >= high:
            raise ValueError(f"min_q_value={min_q_value} must be below max_q_value={max_q_value}.")
        self._num_atoms = check_int("num_atoms", num_atoms, minimum=2)
        self._range = (low, high)

    @property
    def support(self) -> tf.Tensor:
        """The atoms, float32 `[N]`."""
        return ops.support(*self._range, self._num_atoms)

    def _values(self, observation: Any, step_type: Any, policy_state: Any) -> tuple[tf.Tensor, Any]:
        logits, policy_state = self._network_output(observation, step_type, policy_state)
        wanted = [None, self.num_actions, self._num_atoms]
        if not logits.shape.is_compatible_with(wanted):
            raise ValueError(
                f"q_network gives shape {tuple(logits.shape)}; action_spec and num_atoms ask for "
                f"[B, {self.num_actions}, {self._num_atoms}]."
            )
        return ops.expected_value(tf.nn.softmax(tf.cast(logits, tf.float32)), self.support), policy_state
