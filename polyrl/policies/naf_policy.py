"""`NAFPolicy`: acts with continuous actions, by the normalized advantage function of a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from polyrl import ops
from polyrl.policies import network
from polyrl.policies.arguments import stateless_seed
from polyrl.policies.base import BasePolicy, Splitter
from polyrl.policies.distributions import NormalActions
from polyrl.policies.masks import SMALLEST_TEMPERATURE
from polyrl.policies.specs import BoundedTensorSpec, TimeStep
from polyrl.validation import check_float


class NAFPolicy(BasePolicy):
    """Draws continuous actions from `softmax(Q / temperature)`, where `Q` is quadratic in the action (Gu et al. 2016).

    That is a normal distribution around the best action, of covariance `temperature * P^-1`. Draws are clipped to the bounds.

    Args:
        time_step_spec: a `TimeStep` of specs.
        action_spec: a float32 `BoundedTensorSpec` `[k]` with finite bounds.
        q_network: gives `(mean, scale)`: the best action `[B, k]` in units of half the range (-1 is the lowest action, 1 the
            highest), and the numbers `[B, k (k + 1) / 2]` that `polyrl.ops.scale_tril` makes `L` of, where `P = L L^T`; it may
            give a third, the value of the best action `[B]`, for servers. See `ValuePolicy` for how it is called.
        observation_and_action_constraint_splitter: must be None: masks are for discrete actions.
        temperature: at least 0, in units of the action values; at or close to 0 the action is the mean.
        emit_log_probability: see `BasePolicy`. It is the log-density of `distribution` at the returned action, and so at the
            bound where the action was clipped. Needs a temperature above 0.
        validate_args: see `BasePolicy`.
        name: of the module.

    Raises:
        TypeError: if `q_network` cannot be called, and as `BasePolicy`.
        ValueError: if the temperature is negative, or 0 with `emit_log_probability`; if `action_spec` is not float32 `[k]` or
            a range is empty or infinite; if there is a splitter; and, for the network, as `ValuePolicy`.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: BoundedTensorSpec,
        q_network: Any,
        observation_and_action_constraint_splitter: Splitter | None = None,
        temperature: float = 0.0,
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
        if observation_and_action_constraint_splitter is not None:
            raise ValueError(
                f"observation_and_action_constraint_splitter={observation_and_action_constraint_splitter!r} must be None: "
                "a mask marks the legal ones of discrete actions, but action_spec is continuous."
            )
        self._q_network = q_network
        self._temperature = check_float("temperature", temperature, 0.0)
        if self.emit_log_probability and not self._draws:
            raise ValueError(
                f"emit_log_probability=True needs a temperature above 0, got temperature={temperature}: an action that always "
                "equals the mean has no probability density."
            )
        self._low, self._high = _bounds(action_spec)

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

    def _distribution(self, time_step: TimeStep, policy_state: Any) -> tuple[NormalActions, Any]:
        output, policy_state = network.call(self._q_network, time_step.observation, time_step.step_type, policy_state)
        return self._actions(output), policy_state

    def _served(self, time_step: TimeStep, policy_state: Any) -> tuple[dict[str, tf.Tensor], Any]:
        """`q` `[B]` is the best action's value, where the network gives it."""
        output, policy_state = network.call(self._q_network, time_step.observation, time_step.step_type, policy_state)
        action = self._actions(output).tempered(0.0).sample(stateless_seed(0))
        values = {"q": self._numbers("values", tf.cast(output[2], tf.float32))} if len(output) > 2 else {}
        return {"action": action, **values}, policy_state

    def _actions(self, output: Any) -> NormalActions:
        """The distribution that the network's output describes."""
        if not isinstance(output, tuple | list) or len(output) not in (2, 3):
            raise ValueError(f"q_network must give (mean, scale), got {output!r}.")
        size = len(self._low)
        mean, scale = (tf.cast(part, tf.float32) for part in output[:2])
        for name, part, width in (("mean", mean, size), ("scale", scale, size * (size + 1) // 2)):
            if not part.shape.is_compatible_with([None, width]):
                raise ValueError(
                    f"q_network gives a {name} of shape {tuple(part.shape)}, expected [B, {width}] by action_spec."
                )
        mean = self._numbers("best actions", mean)
        if self._draws:
            scale = self._numbers("scales", scale)
        # At temperature 0 the scale has no effect.
        triangle = ops.scale_tril(scale) if self._draws else None
        return NormalActions(mean, triangle, self._temperature, self._low, self._high)

    def _check_action_spec(self, action_spec: BoundedTensorSpec) -> None:
        if action_spec.dtype != tf.float32 or len(action_spec.shape) != 1 or action_spec.shape[0] in (0, None):
            raise ValueError(f"action_spec={action_spec} must be float32 of shape (k,).")
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = _bounds(action_spec)
            width = high - low
        if not np.all((width > 0.0) & np.isfinite(width)):
            raise ValueError(f"action_spec={action_spec} must have finite bounds, the minimum below the maximum.")

    @property
    def _draws(self) -> bool:
        """Whether actions are drawn, rather than equal to the mean."""
        return self._temperature >= SMALLEST_TEMPERATURE


def _bounds(spec: BoundedTensorSpec) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest action, float32 `[k]`."""
    low, high = (np.broadcast_to(np.asarray(bound, np.float32), spec.shape) for bound in (spec.minimum, spec.maximum))
    return low, high
