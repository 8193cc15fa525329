"""`BasePolicy`: what all policies share, for discrete and continuous actions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from polyrl.policies.arguments import stateless_seed
from polyrl.policies.distributions import ActionDistribution
from polyrl.policies.export import signatures
from polyrl.policies.nests import check_nest, check_spec, is_empty, to_tensors, zeros
from polyrl.policies.numbers import check_numbers
from polyrl.policies.specs import BoundedTensorSpec, PolicyInfo, PolicyStep, TensorSpec, TimeStep, Trajectory
from polyrl.policies.updating import update_variables
from polyrl.validation import check_bool, check_int, check_rows

Splitter = Callable[[Any], tuple[Any, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class _Given:
    """The constructor's arguments. They are not attributes of the policy itself, since `tf.Module` would wrap those."""

    time_step: TimeStep
    action: BoundedTensorSpec
    state: Any
    splitter: Splitter | None
    emit_log_probability: bool
    validate_args: bool


class BasePolicy(tf.Module):
    """Maps a batch of time steps to one action for each row.

    A policy needs no agent and no environment. A subclass defines `_distribution`; subclass `DiscretePolicy` for discrete
    actions, where logits are enough. `variables` are those of the networks that the policy holds.

    Args:
        time_step_spec: a `TimeStep` of specs, without batch dimension.
        action_spec: a `BoundedTensorSpec` of one action.
        policy_state_spec: a nest of specs of the state that a recurrent policy carries from step to step; `()` without state.
        observation_and_action_constraint_splitter: splits an observation into the network's input and a mask `[B, A]` that
            is nonzero where an action is legal.
        emit_log_probability: whether `action` also returns the log-probability of the action, in a `PolicyInfo`.
        validate_args: whether inputs and outputs are checked against the specs: structure, dtype and shape.
        name: of the module.

    Raises:
        TypeError: if `action_spec` is not a `BoundedTensorSpec`, `time_step_spec` not a `TimeStep` of specs, or the splitter
            not a function.
        ValueError: if the policy does not support such actions.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: BoundedTensorSpec,
        policy_state_spec: Any = (),
        observation_and_action_constraint_splitter: Splitter | None = None,
        *,
        emit_log_probability: bool = False,
        validate_args: bool = True,
        name: str | None = None,
    ):
        super().__init__(name=name)
        splitter = observation_and_action_constraint_splitter
        if not isinstance(time_step_spec, TimeStep):
            raise TypeError(f"time_step_spec={time_step_spec!r} must be a TimeStep of specs.")
        if not isinstance(action_spec, BoundedTensorSpec):
            raise TypeError(f"action_spec={action_spec!r} must be a BoundedTensorSpec.")
        self._check_action_spec(action_spec)
        if not (splitter is None or callable(splitter)):
            raise TypeError(f"observation_and_action_constraint_splitter={splitter!r} must be a function, or None.")
        check_spec("time_step_spec", time_step_spec)
        state_spec = check_spec("policy_state_spec", policy_state_spec)
        emits = check_bool("emit_log_probability", emit_log_probability)
        validates = check_bool("validate_args", validate_args)
        self._arguments = _Given(time_step_spec, action_spec, state_spec, splitter, emits, validates)

    # Properties. --------------------------------------------------------------------------------------------------------

    @property
    def time_step_spec(self) -> TimeStep:
        """Describes the time steps that `action` and `distribution` take."""
        return self._given().time_step

    @property
    def action_spec(self) -> BoundedTensorSpec:
        """Describes the action."""
        return self._given().action

    @property
    def policy_state_spec(self) -> Any:
        """Describes the `policy_state` that `action` takes and returns; `()` without state."""
        return self._given().state

    @property
    def info_spec(self) -> Any:
        """Describes the side information that comes with an action: a `PolicyInfo`, or `()`."""
        return PolicyInfo(TensorSpec([], tf.float32, "log_probability")) if self.emit_log_probability else ()

    @property
    def policy_step_spec(self) -> PolicyStep:
        """Describes what `action` returns."""
        return PolicyStep(self.action_spec, self.policy_state_spec, self.info_spec)

    @property
    def trajectory_spec(self) -> Trajectory:
        """Describes the record of one step that this policy has acted in."""
        step_type, reward, discount, observation = self.time_step_spec
        return Trajectory(step_type, observation, self.action_spec, self.info_spec, step_type, reward, discount)

    @property
    def collect_data_spec(self) -> Trajectory:
        """The same as `trajectory_spec`."""
        return self.trajectory_spec

    @property
    def emit_log_probability(self) -> bool:
        """Whether the side information holds the log-probability of the action."""
        return self._given().emit_log_probability

    @property
    def validate_args(self) -> bool:
        """Whether inputs and outputs are checked against the specs."""
        return self._given().validate_args

    @property
    def observation_and_action_constraint_splitter(self) -> Splitter | None:
        """The function given to the constructor."""
        return self._given().splitter

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The trainable ones of `variables`."""
        return tuple(variable for variable in self.variables if variable.trainable)

    @property
    def non_trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The others of `variables`."""
        return tuple(variable for variable in self.variables if not variable.trainable)

    # Methods. -----------------------------------------------------------------------------------------------------------

    def get_initial_state(self, batch_size: Any = None) -> Any:
        """The state at the start of an episode: zeros `[batch_size, ...]`, or without that dimension if it is None.

        Args:
            batch_size: an int or an integer tensor `[]`.

        Raises:
            TypeError, ValueError: for something else.
        """
        if tf.is_tensor(batch_size):
            if not batch_size.dtype.is_integer:
                raise TypeError(f"batch_size has dtype {batch_size.dtype.name}; expected an integer.")
            if batch_size.shape.rank not in (0, None):
                raise ValueError(f"batch_size has shape {tuple(batch_size.shape)}; expected one number, of shape ().")
            known = tf.get_static_value(batch_size)
            if known is not None:
                check_int("batch_size", int(known), minimum=0)
        elif batch_size is not None:
            check_int("batch_size", batch_size, minimum=0)
        return zeros(self.policy_state_spec, batch_size)

    def action(self, time_step: TimeStep, policy_state: Any = (), seed: Any = None) -> PolicyStep:
        """Chooses an action for each row.

        Args:
            time_step: a batch of time steps.
            policy_state: the state returned by the previous call, or `()` for the initial state. Rows at the first step of
                an episode are reset to the initial state.
            seed: an int, or an integer tensor `[]` or `[2]`. The same seed draws the same actions, eagerly and in a graph;
                None draws different ones at each call.

        Returns:
            `PolicyStep(action [B, ...], state, info)`.

        Raises:
            RuntimeError: if a subclass did not call this class's `__init__`.
            ValueError: with `validate_args`, if an input or output does not match its spec.
            NonFiniteError: with `validate_args`, if a network gives NaN or infinity; see `check_numbers` for graphs.
            TypeError: if `time_step` is not a `TimeStep`, or `seed` is not made of integers.
            tf.errors.InvalidArgumentError: if a mask leaves a row without any legal action.
        """
        distribution, policy_state = self._checked_distribution(time_step, policy_state)
        action = distribution.sample(stateless_seed(seed))
        info = PolicyInfo(distribution.log_prob(action)) if self.emit_log_probability else ()
        return PolicyStep(action, policy_state, info)

    def distribution(self, time_step: TimeStep, policy_state: Any = ()) -> PolicyStep:
        """The distribution over each row's action, a tensorflow_probability distribution, as `PolicyStep.action`.

        Arguments and errors are those of `action`. The side information has the structure of `info_spec` but holds NaN, since
        no action has been chosen yet; use the distribution's `log_prob`.
        """
        distribution, policy_state = self._checked_distribution(time_step, policy_state)
        info = PolicyInfo(tf.fill(tf.shape(time_step.step_type), float("nan"))) if self.emit_log_probability else ()
        return PolicyStep(distribution.to_tfp(), policy_state, info)

    def update(
        self, policy: Any, tau: Any = 1.0, tau_non_trainable: Any = None, sort_variables_by_name: bool = False
    ) -> tf.Tensor:
        """Moves this policy's variables towards those of another: `tau * other + (1 - tau) * own`.

        Args:
            policy: another policy, or any object with `variables`: as many, of the same shapes and dtypes.
            tau: number or scalar tensor in [0, 1], for the variables that are trainable in this policy; 1 copies.
            tau_non_trainable: the same for the non-trainable variables; None means `tau`.
            sort_variables_by_name: whether variables are paired in the order of their names (`dense_9` before `dense_10`)
                instead of the order in which `variables` lists them.

        Returns:
            The number of variables, int32 `[]`; in a graph this tensor depends on all assignments.

        Raises:
            TypeError: if `policy` has no `variables`.
            ValueError: if a tau lies outside [0, 1], or the variables do not match; the message names those that differ.
        """
        self._given()
        if not hasattr(policy, "variables"):
            raise TypeError(f"policy={policy!r} has no variables.")
        return update_variables(policy.variables, self.variables, tau, tau_non_trainable, sort_variables_by_name)

    def signatures(self) -> dict[str, Any]:
        """For `tf.saved_model.save(policy, path, signatures=policy.signatures())`; see `polyrl.policies.export.signatures`."""
        return signatures(self)

    # What a subclass defines. -------------------------------------------------------------------------------------------

    def _distribution(self, time_step: TimeStep, policy_state: Any) -> tuple[ActionDistribution, Any]:
        """The distribution over each row's action, and the next policy state; the inputs have been checked."""
        raise NotImplementedError(
            f"{type(self).__name__} must define _distribution, or be a subclass of DiscretePolicy and define _logits."
        )

    def _served(self, time_step: TimeStep, policy_state: Any) -> tuple[dict[str, tf.Tensor], Any]:
        """What a server answers, see `serving_default`: `action`, and more; and the next policy state; inputs are checked."""
        distribution, policy_state = self._distribution(time_step, policy_state)
        return {"action": distribution.tempered(0.0).sample(stateless_seed(0))}, policy_state

    def _check_action_spec(self, action_spec: BoundedTensorSpec) -> None:
        """Raises a ValueError for actions that the policy does not support."""

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _given(self) -> _Given:
        """The constructor's arguments.

        Raises:
            RuntimeError: if a subclass did not call `__init__`.
        """
        given = getattr(self, "_arguments", None)
        if given is None:
            raise RuntimeError(f"{type(self).__name__}.__init__ must call super().__init__().")
        return given

    def _checked_distribution(self, time_step: TimeStep, policy_state: Any) -> tuple[ActionDistribution, Any]:
        """`_distribution`, with the inputs and the next state compared with the specs."""
        distribution, next_state = self._distribution(*self._checked(time_step, policy_state))
        if self.validate_args:
            check_nest("policy_step.state", next_state, self.policy_state_spec)
        return distribution, next_state

    def _numbers(self, name: str, values: tf.Tensor, needed: tf.Tensor | None = None, lowest: bool = False) -> tf.Tensor:
        """With `validate_args`, refuses NaN and infinity in values `[B, ...]`; see `check_numbers`."""
        return check_numbers(f"{type(self).__name__}: {name}", values, needed, lowest) if self.validate_args else values

    def _checked(self, time_step: TimeStep, policy_state: Any) -> tuple[TimeStep, Any]:
        """The inputs as tensors, compared with their specs; the state is reset in rows where an episode starts."""
        given = self._given()
        if not isinstance(time_step, TimeStep):
            raise TypeError(f"time_step={time_step!r} must be a TimeStep.")
        time_step, policy_state = to_tensors("time_step", time_step), to_tensors("policy_state", policy_state)
        if given.validate_args:
            check_nest("time_step", time_step, given.time_step)
        is_first = time_step.is_first()
        if given.validate_args and tf.executing_eagerly():
            types = time_step.step_type.numpy()
            check_rows("time_step.step_type", types, (types < 0) | (types > 2), "0 (first), 1 (mid) or 2 (last)")
        initial = zeros(given.state, tf.shape(is_first)[0])
        if is_empty(policy_state):
            policy_state = initial
        if given.validate_args:
            check_nest("policy_state", policy_state, given.state)
        if is_empty(given.state):
            return time_step, policy_state

        def reset(fresh: tf.Tensor, carried: tf.Tensor) -> tf.Tensor:
            return tf.where(tf.reshape(is_first, [-1] + [1] * (fresh.shape.rank - 1)), fresh, carried)

        return time_step, tf.nest.map_structure(reset, initial, policy_state)
