"""`BasePolicy`: what all policies share. A subclass says how probable each action is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from polyrl import ops
from polyrl.policies.arguments import stateless_seed
from polyrl.policies.export import signatures
from polyrl.policies.masks import check_legal
from polyrl.policies.nests import check_nest, check_spec, is_empty, to_tensors, zeros
from polyrl.policies.specs import BoundedTensorSpec, PolicyInfo, PolicyStep, TensorSpec, TimeStep, Trajectory
from polyrl.policies.updating import update_variables
from polyrl.validation import check_int

Splitter = Callable[[Any], tuple[Any, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class _Given:
    """What the constructor was given. Not attributes of the policy itself, which `tf.Module` would wrap."""

    time_step: TimeStep
    action: BoundedTensorSpec
    state: Any
    splitter: Splitter | None
    emit_log_probability: bool
    validate_args: bool


class BasePolicy(tf.Module):
    """A policy over one discrete action, the next one of each row of a batch.

    It stands alone: time steps go in, actions come out. `variables` are those of the networks it holds.

    Args:
        time_step_spec: a `TimeStep` of specs, without batch dimension.
        action_spec: a scalar integer `BoundedTensorSpec` that starts at 0.
        policy_state_spec: a nest of specs of what a recurrent policy carries from step to step; `()` if nothing.
        observation_and_action_constraint_splitter: splits an observation into what the network gets and a mask `[B, A]` of the
            legal actions (nonzero).
        emit_log_probability: whether `action` tells the logarithm of the action's probability, `PolicyInfo`.
        validate_args: whether inputs and outputs are checked against the specs: structure, dtype and shape.
        name: of the module.

    Raises:
        TypeError: if `action_spec` is no `BoundedTensorSpec`, `time_step_spec` no `TimeStep` of specs, or the splitter no
            function.
        ValueError: if the action is not a scalar integer from 0.
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
        if action_spec.shape != () or not action_spec.dtype.is_integer or action_spec.minimum != 0:
            raise ValueError(f"action_spec={action_spec} must be one integer, of shape () and minimum 0.")
        if not (splitter is None or callable(splitter)):
            raise TypeError(f"observation_and_action_constraint_splitter={splitter!r} must be a function, or None.")
        check_spec("time_step_spec", time_step_spec)
        state_spec = check_spec("policy_state_spec", policy_state_spec)
        self._arguments = _Given(
            time_step_spec, action_spec, state_spec, splitter, bool(emit_log_probability), bool(validate_args)
        )

    # What it is. --------------------------------------------------------------------------------------------------------

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
        """Describes what `action` takes as `policy_state` and gives as the next one; `()` for none."""
        return self._given().state

    @property
    def info_spec(self) -> Any:
        """Describes the side information that comes with an action: `PolicyInfo`, or `()`."""
        return PolicyInfo(TensorSpec([], tf.float32, "log_probability")) if self.emit_log_probability else ()

    @property
    def policy_step_spec(self) -> PolicyStep:
        """Describes what `action` gives."""
        return PolicyStep(self.action_spec, self.policy_state_spec, self.info_spec)

    @property
    def trajectory_spec(self) -> Trajectory:
        """Describes what is written of a step with this policy."""
        step_type, reward, discount, observation = self.time_step_spec
        return Trajectory(step_type, observation, self.action_spec, self.info_spec, step_type, reward, discount)

    @property
    def collect_data_spec(self) -> Trajectory:
        """The same as `trajectory_spec`."""
        return self.trajectory_spec

    @property
    def emit_log_probability(self) -> bool:
        """Whether the side information is the logarithm of the action's probability."""
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
        """Those of `variables` that are trainable."""
        return tuple(variable for variable in self.variables if variable.trainable)

    @property
    def non_trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The others."""
        return tuple(variable for variable in self.variables if not variable.trainable)

    @property
    def num_actions(self) -> int:
        """How many actions there are."""
        return int(self.action_spec.maximum) + 1

    # What it does. ------------------------------------------------------------------------------------------------------

    def get_initial_state(self, batch_size: Any = None) -> Any:
        """The state to begin with: zeros `[batch_size, ...]`, without that dimension if it is None.

        Args:
            batch_size: an int or an integer tensor `[]`.
        """
        if not (batch_size is None or tf.is_tensor(batch_size)):
            check_int("batch_size", batch_size, minimum=0)
        return zeros(self.policy_state_spec, batch_size)

    def action(self, time_step: TimeStep, policy_state: Any = (), seed: Any = None) -> PolicyStep:
        """Chooses an action for each row.

        Args:
            time_step: a batch of time steps.
            policy_state: the state given by the last call, or `()` for the initial one; rows at the first step of an episode
                begin anew.
            seed: an int, or an int tensor `[]` or `[2]`; the same seed draws the same actions, eagerly and in a graph.

        Returns:
            `PolicyStep(action [B], state, info)`.

        Raises:
            RuntimeError: if a subclass has not called this class's `__init__`.
            ValueError: if what goes in or comes out does not match its spec, with `validate_args`.
            TypeError: if `time_step` is no `TimeStep`, or `seed` is not of integers.
            tf.errors.InvalidArgumentError: if the mask leaves a row without any legal action.
        """
        logits, policy_state = self._checked_logits(time_step, policy_state)
        actions = ops.sample_categorical(logits, stateless_seed(seed))
        info: Any = ()
        if self.emit_log_probability:
            info = PolicyInfo(tf.gather(tf.nn.log_softmax(logits), actions, batch_dims=1))
        return PolicyStep(tf.cast(actions, self.action_spec.dtype), policy_state, info)

    def distribution(self, time_step: TimeStep, policy_state: Any = ()) -> PolicyStep:
        """The distribution over the next action of each row, a `tfp.distributions.Categorical`, as `PolicyStep.action`.

        Its arguments and errors are those of `action`. The side information has the structure of `info_spec`; there is no
        action yet whose probability could be told, so that is NaN: ask the distribution's `log_prob`.
        """
        logits, policy_state = self._checked_logits(time_step, policy_state)
        # Imported here: it takes a second, and acting does without it.
        import tensorflow_probability as tfp

        categorical = tfp.distributions.Categorical(logits=logits, dtype=self.action_spec.dtype)
        info = PolicyInfo(tf.fill(tf.shape(logits)[:1], float("nan"))) if self.emit_log_probability else ()
        return PolicyStep(categorical, policy_state, info)

    def update(
        self, policy: Any, tau: Any = 1.0, tau_non_trainable: Any = None, sort_variables_by_name: bool = False
    ) -> tf.Tensor:
        """Moves this policy's variables towards those of another: `tau * other + (1 - tau) * own`.

        Args:
            policy: the other, or whatever has `variables`: as many, of the same shapes.
            tau: number or scalar tensor in [0, 1], for the variables that are trainable here; 1 copies.
            tau_non_trainable: the same for the others; None is `tau`.
            sort_variables_by_name: pairs the variables in the order of their names (`dense_9` before `dense_10`), not in that
                of their creation.

        Returns:
            How many variables there were, int32 `[]`; in a graph this tensor waits for all of them.

        Raises:
            TypeError: if `policy` has no `variables`.
            ValueError: if a tau lies outside [0, 1], or the variables do not pair; names those that differ.
        """
        self._given()
        if not hasattr(policy, "variables"):
            raise TypeError(f"policy={policy!r} has no variables.")
        return update_variables(policy.variables, self.variables, tau, tau_non_trainable, sort_variables_by_name)

    def signatures(self) -> dict[str, Any]:
        """For `tf.saved_model.save(policy, path, signatures=policy.signatures())`; see `polyrl.policies.export.signatures`."""
        return signatures(self)

    # What a subclass gives. ---------------------------------------------------------------------------------------------

    def _logits(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        """Logarithms of the actions' probabilities, float32 `[B, A]`, up to a constant in each row; and the next state.

        Minus infinity for what must not be drawn.
        """
        raise NotImplementedError

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _given(self) -> _Given:
        """What the constructor was given.

        Raises:
            RuntimeError: if a subclass has not called `__init__`.
        """
        given = getattr(self, "_arguments", None)
        if given is None:
            raise RuntimeError(f"{type(self).__name__}.__init__ must call super().__init__().")
        return given

    def _split(self, observation: Any) -> tuple[Any, tf.Tensor | None]:
        """What the network gets; and which actions are legal, bool `[B, A]`, None if all are."""
        splitter = self.observation_and_action_constraint_splitter
        if splitter is None:
            return observation, None
        parts = splitter(observation)
        if not isinstance(parts, tuple | list) or len(parts) != 2:
            raise ValueError(f"observation_and_action_constraint_splitter must return (observation, mask); got {parts!r}.")
        return parts[0], check_legal(parts[1], self.num_actions)

    def _checked_logits(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        """`_logits`, with what goes in and what comes out compared with the specs."""
        logits, next_state = self._logits(*self._checked(time_step, policy_state))
        if self.validate_args:
            check_nest("logits", logits, TensorSpec([self.num_actions], tf.float32))
            check_nest("policy_step.state", next_state, self.policy_state_spec)
        return logits, next_state

    def _checked(self, time_step: TimeStep, policy_state: Any) -> tuple[TimeStep, Any]:
        """The inputs as tensors, compared with their specs; a state begins anew where an episode does."""
        given = self._given()
        if not isinstance(time_step, TimeStep):
            raise TypeError(f"time_step={time_step!r} must be a TimeStep.")
        time_step, policy_state = to_tensors("time_step", time_step), to_tensors("policy_state", policy_state)
        if given.validate_args:
            check_nest("time_step", time_step, given.time_step)
        first = time_step.is_first()
        initial = zeros(given.state, tf.shape(first)[0])
        if is_empty(policy_state):
            policy_state = initial
        if given.validate_args:
            check_nest("policy_state", policy_state, given.state)
        if is_empty(given.state):
            return time_step, policy_state

        def restarted(fresh: tf.Tensor, carried: tf.Tensor) -> tf.Tensor:
            return tf.where(tf.reshape(first, [-1] + [1] * (fresh.shape.rank - 1)), fresh, carried)

        return time_step, tf.nest.map_structure(restarted, initial, policy_state)
