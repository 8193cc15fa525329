"""`BasePolicy`: what all policies share. A subclass says how probable each action is."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable
from typing import Any

from polyrl import ops
from polyrl.policies.nests import check_nest, leaves, to_tensors, zeros
from polyrl.policies.specs import BoundedTensorSpec, PolicyInfo, PolicyStep, TensorSpec, TimeStep, Trajectory
from polyrl.policies.updating import update_variables

import tensorflow as tf

Splitter = Callable[[Any], tuple[Any, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class _Specs:
    """Not attributes of the policy itself, which `tf.Module` would wrap."""

    time_step: TimeStep
    action: BoundedTensorSpec
    state: Any


class BasePolicy(tf.Module):
    """A policy over one discrete action, the next one of each row of a batch.

    It stands alone: time steps go in, actions come out. Its variables are those of the networks it holds.

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
        TypeError: if `action_spec` is no `BoundedTensorSpec`, or `time_step_spec` no `TimeStep`.
        ValueError: if the action is not a scalar integer from 0.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: BoundedTensorSpec,
        policy_state_spec: Any = (),
        observation_and_action_constraint_splitter: Splitter | None = None,
        emit_log_probability: bool = False,
        validate_args: bool = True,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if not isinstance(time_step_spec, TimeStep):
            raise TypeError(f"time_step_spec={time_step_spec!r} must be a TimeStep of specs.")
        if not isinstance(action_spec, BoundedTensorSpec):
            raise TypeError(f"action_spec={action_spec!r} must be a BoundedTensorSpec.")
        if action_spec.shape != () or not action_spec.dtype.is_integer or action_spec.minimum != 0:
            raise ValueError(f"action_spec={action_spec} must be one integer, of shape () and minimum 0.")
        self._specs = _Specs(time_step_spec, action_spec, policy_state_spec)
        self._splitter = observation_and_action_constraint_splitter
        self._emit_log_probability = bool(emit_log_probability)
        self._validate_args = bool(validate_args)

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
        return PolicyInfo(TensorSpec([], tf.float32, "log_probability")) if self._emit_log_probability else ()

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
        """Whether `action` tells the logarithm of the action's probability."""
        return self._emit_log_probability

    @property
    def validate_args(self) -> bool:
        """Whether inputs and outputs are checked against the specs."""
        return self._validate_args

    @property
    def observation_and_action_constraint_splitter(self) -> Splitter | None:
        """The function given to the constructor."""
        return self._splitter

    @property
    def num_actions(self) -> int:
        """How many actions there are."""
        return int(self.action_spec.maximum) + 1

    # What it does. ------------------------------------------------------------------------------------------------------

    def get_initial_state(self, batch_size: Any = None) -> Any:
        """The state to begin with: zeros `[batch_size, ...]`, without that dimension if it is None."""
        return zeros(self.policy_state_spec, batch_size)

    def action(self, time_step: TimeStep, policy_state: Any = (), seed: Any = None) -> PolicyStep:
        """Chooses an action for each row.

        Args:
            time_step: a batch of time steps.
            policy_state: the state given by the last call; rows at the first step of an episode begin anew.
            seed: an int or an int tensor `[2]`; the same seed draws the same actions, eagerly and in a graph.

        Returns:
            `PolicyStep(action [B], state, info)`.

        Raises:
            RuntimeError: if a subclass has not called this class's `__init__`.
            ValueError: if what goes in or comes out does not match its spec, with `validate_args`.
            TypeError: if `time_step` is no `TimeStep`.
        """
        logits, policy_state = self._checked_logits(time_step, policy_state)
        actions = ops.sample_categorical(logits, stateless_seed(seed))
        info: Any = ()
        if self._emit_log_probability:
            info = PolicyInfo(tf.gather(tf.nn.log_softmax(logits), actions, batch_dims=1))
        step = PolicyStep(tf.cast(actions, self.action_spec.dtype), policy_state, info)
        if self._validate_args:
            check_nest("policy_step", step, self.policy_step_spec)
        return step

    def distribution(self, time_step: TimeStep, policy_state: Any = ()) -> PolicyStep:
        """The distribution over the next action of each row, a `tfp.distributions.Categorical`, as `PolicyStep.action`.

        Its arguments and errors are those of `action`; there is no action yet that side information could be on.
        """
        logits, policy_state = self._checked_logits(time_step, policy_state)
        # Imported here: it takes a second, and acting does without it.
        import tensorflow_probability as tfp

        categorical = tfp.distributions.Categorical(logits=logits, dtype=self.action_spec.dtype)
        return PolicyStep(categorical, policy_state)

    def update(
        self, policy: Any, tau: Any = 1.0, tau_non_trainable: Any = None, sort_variables_by_name: bool = False
    ) -> Any:
        """Moves this policy's variables towards those of another: `tau * other + (1 - tau) * own`.

        Args:
            policy: the other, with as many variables of the same shapes.
            tau: in [0, 1], for the trainable variables; 1 copies.
            tau_non_trainable: in [0, 1], for the others; None is `tau`.
            sort_variables_by_name: pairs the variables in the order of their names, not in that of their creation.

        Returns:
            An operation in a graph, None eagerly.

        Raises:
            ValueError: if a tau lies outside [0, 1], or the variables do not pair; names those that differ.
        """
        self._given()
        if not hasattr(policy, "variables"):
            raise TypeError(f"policy={policy!r} has no variables.")
        return update_variables(policy.variables, self.variables, tau, tau_non_trainable, sort_variables_by_name)

    def signatures(self) -> dict[str, Any]:
        """Functions for `tf.saved_model.save(policy, path, signatures=policy.signatures())`.

        Loaded again they need TensorFlow alone. Inputs are the leaves of the observation, and for a recurrent policy
        `step_type` and those of the state, each under its name (`observation`, or `observation_key`):

        * `action`: takes `seed` int32 `[2]` besides; gives `action` `[B]`, leaves of the next state, and `log_probability` if
          the policy emits it.
        * `distribution`: gives `probabilities` float32 `[B, A]`.
        """
        return {
            "action": self._signature(self._serve_action, seed=True),
            "distribution": self._signature(self._serve_probabilities),
        }

    # What a subclass gives. ---------------------------------------------------------------------------------------------

    def _logits(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        """Logarithms of the actions' probabilities, float32 `[B, A]`, up to a constant in each row; and the next state.

        Minus infinity for what must not be drawn.
        """
        raise NotImplementedError

    # Parts. -------------------------------------------------------------------------------------------------------------

    def _given(self) -> _Specs:
        """The specs.

        Raises:
            RuntimeError: if a subclass has not called `__init__`.
        """
        specs = getattr(self, "_specs", None)
        if specs is None:
            raise RuntimeError(f"{type(self).__name__}.__init__ must call super().__init__().")
        return specs

    def _checked_logits(self, time_step: TimeStep, policy_state: Any) -> tuple[tf.Tensor, Any]:
        return self._logits(*self._checked(time_step, policy_state))

    def _checked(self, time_step: TimeStep, policy_state: Any) -> tuple[TimeStep, Any]:
        """The inputs as tensors, compared with their specs; a state begins anew where an episode does."""
        specs = self._given()
        if not isinstance(time_step, TimeStep):
            raise TypeError(f"time_step={time_step!r} must be a TimeStep.")
        time_step, policy_state = to_tensors(time_step), to_tensors(policy_state)
        if self._validate_args:
            check_nest("time_step", time_step, specs.time_step)
        if specs.state == ():
            if self._validate_args:
                check_nest("policy_state", policy_state, ())
            return time_step, policy_state
        first = time_step.is_first()
        initial = self.get_initial_state(tf.shape(first)[0])
        if policy_state == ():
            policy_state = initial
        if self._validate_args:
            check_nest("policy_state", policy_state, specs.state)

        def restarted(fresh: tf.Tensor, carried: tf.Tensor) -> tf.Tensor:
            return tf.where(tf.reshape(first, [-1] + [1] * (fresh.shape.rank - 1)), fresh, carried)

        return time_step, tf.nest.map_structure(restarted, initial, policy_state)

    def _signature(self, function: Callable[..., dict[str, tf.Tensor]], seed: bool = False) -> Any:
        """A concrete function of the leaves that policies look at, each an input by its name."""
        observation, state = self.time_step_spec.observation, self.policy_state_spec
        recurrent = state != ()
        wanted = (observation, TensorSpec([], tf.int32), state) if recurrent else (observation,)
        names = [_identifier(path) for path, _ in leaves(observation, "observation")]
        if recurrent:
            names += ["step_type", *(_identifier(path) for path, _ in leaves(state, "policy_state"))]
        inputs = [
            TensorSpec([None, *spec.shape], spec.dtype, name)
            for name, (_, spec) in zip(names, leaves(wanted, ""), strict=True)
        ]

        def serve(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
            given = tf.nest.pack_sequence_as(wanted, list(tensors[: len(inputs)]))
            rows = tf.shape(tensors[0])[0]
            step = TimeStep.restart(given[0], rows)
            if recurrent:
                step = step._replace(step_type=given[1])
            return function(step, given[2] if recurrent else (), *tensors[len(inputs) :])

        last = [TensorSpec([2], tf.int32, "seed")] if seed else []
        return tf.function(serve, autograph=False).get_concrete_function(*inputs, *last)

    def _serve_action(self, time_step: TimeStep, policy_state: Any, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        step = self.action(time_step, policy_state, seed)
        state = {_identifier(path): leaf for path, leaf in leaves(step.state, "policy_state")}
        info = {"log_probability": step.info.log_probability} if self._emit_log_probability else {}
        return {"action": step.action, **state, **info}

    def _serve_probabilities(self, time_step: TimeStep, policy_state: Any) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.nn.softmax(self._checked_logits(time_step, policy_state)[0])}


def stateless_seed(seed: Any) -> tf.Tensor:
    """An integer of any size, or a tensor `[2]`, as an int32 tensor `[2]`; for None one that nothing repeats."""
    if seed is None:
        return tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
    if isinstance(seed, numbers.Integral):
        number = int(seed)
        return tf.constant([number & 0x7FFFFFFF, number >> 31 & 0x7FFFFFFF])
    return tf.cast(seed, tf.int32)


def _identifier(path: str) -> str:
    """`observation['image'][0]` as `observation_image_0`."""
    return "_".join(part for part in "".join(c if c.isalnum() or c == "_" else " " for c in path).split())

