"""A policy as functions of named tensors, for `tf.saved_model.save`: once loaded they need TensorFlow alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from polyrl.engine.tracing import traced
from polyrl.policies.nests import is_empty, leaves, to_tensors
from polyrl.policies.specs import StepType, TensorSpec, TimeStep

Outputs = dict[str, tf.Tensor]


def signatures(policy: Any) -> dict[str, Any]:
    """Functions for `tf.saved_model.save(policy, path, signatures=policy.signatures())`.

    Their inputs are the leaves of the observation and, for a recurrent policy, `step_type` and the leaves of the state, each
    under its name (`observation`, or `observation_key`, `policy_state_key`):

    * `action`: also takes `seed` int32 `[2]`; gives `action` `[B, ...]`, the leaves of the next state, and `log_probability`
      if the policy emits it.
    * `distribution`: gives `probabilities` float32 `[B, A]` of discrete actions; of continuous actions, before clipping and in
      the action's own units, `mean` float32 `[B, k]` and `covariance` float32 `[B, k, k]`.
    * `get_initial_state`, of a recurrent policy only: takes `batch_size` int32 `[]`; gives the leaves of the state.

    Each variable that the functions read is saved with the policy, whether or not its network is a `tf.Module`.

    Raises:
        ValueError: if two leaves would have the same name.
    """

    def act(time_step: TimeStep, policy_state: Any, seed: tf.Tensor) -> Outputs:
        step = policy.action(time_step, policy_state, seed)
        info = {"log_probability": step.info.log_probability} if policy.emit_log_probability else {}
        return {"action": step.action, **_named(step.state), **info}

    def describe(time_step: TimeStep, policy_state: Any) -> Outputs:
        return policy._checked_distribution(time_step, policy_state)[0].outputs()

    functions = {
        "action": _concrete(policy, act, [TensorSpec([2], tf.int32, "seed")]),
        "distribution": _concrete(policy, describe, []),
    }
    if not is_empty(policy.policy_state_spec):
        initial = traced(lambda batch_size: _named(policy.get_initial_state(batch_size)))
        functions["get_initial_state"] = initial.get_concrete_function(TensorSpec([], tf.int32, "batch_size"))
    # A SavedModel holds what the policy's attributes lead to. A checkpoint leads to variables without being a module, so that
    # they are not listed among the policy's own.
    read = {variable.ref(): variable for function in functions.values() for variable in function.variables}
    policy._read_by_signatures = tf.train.Checkpoint(variables=list(read.values()))
    return functions


def serving_default(policy: Any) -> Any:
    """The function that a server calls if no signature is named: without chance, and without a seed.

    Its inputs are the leaves of the observation by their own names (`state` of `{"state": states}`; `observation` if there is
    but one, without a name), and, for a recurrent policy, those of its state, which are zeros at the start of an episode. All
    outputs have a row for each row of the inputs, as TensorFlow Serving's row format asks: `action` `[B, ...]`, the most
    probable one, and what else the policy tells of its choice, see `BasePolicy._served`; the leaves of the next state.

    Raises:
        ValueError: if two inputs would have the same name.
    """

    def serve(time_step: TimeStep, policy_state: Any) -> Outputs:
        outputs, policy_state = policy._served(*policy._checked(time_step, policy_state))
        return {**outputs, **_named(policy_state)}

    return _concrete(policy, serve, [], for_server=True)


def _concrete(policy: Any, function: Callable[..., Outputs], more: Sequence[tf.TensorSpec], for_server: bool = False) -> Any:
    """A concrete function whose inputs are the leaves that the policy reads, each by its name, and `more`.

    For a server they are named as in `serving_default`, and a recurrent policy's state is taken as it is given.
    """
    observation, state = policy.time_step_spec.observation, policy.policy_state_spec
    named = {"observation": observation}
    if not is_empty(state):
        named |= {} if for_server else {"step_type": TensorSpec([], tf.int32)}
        named |= {"policy_state": state}
    inputs = [
        TensorSpec([None, *spec.shape], spec.dtype, _short(_identifier(path)) if for_server else _identifier(path))
        for name, nest in named.items()
        for path, spec in leaves(nest, name)
    ]
    names = [spec.name for spec in inputs]
    if len(set(names)) < len(names):
        raise ValueError(f"Two leaves of the observation or the state would have the same name: {sorted(names)}.")

    def serve(*tensors: tf.Tensor) -> Outputs:
        rows = [tf.shape(tensor)[0] for tensor in tensors[: len(inputs)]]
        if len(rows) > 1:
            message = f"The inputs {', '.join(names)} must have as many rows each, got"
            tensors = (_if_all(tf.equal(rows, rows[0]), message, tf.stack(rows), tensors[0]), *tensors[1:])
        parts = dict(zip(named, tf.nest.pack_sequence_as(tuple(named.values()), tensors[: len(inputs)]), strict=True))
        time_step = TimeStep.restart(parts["observation"], tf.shape(tensors[0])[0])
        if for_server:
            time_step = time_step._replace(step_type=tf.fill(tf.shape(tensors[0])[:1], StepType.MID))
        elif "step_type" in parts:
            time_step = time_step._replace(step_type=parts["step_type"])
        return function(time_step, parts.get("policy_state", ()), *tensors[len(inputs) :])

    return traced(serve).get_concrete_function(*inputs, *more)


def _named(state: Any) -> Outputs:
    return {_identifier(path): leaf for path, leaf in leaves(to_tensors("policy_state", state), "policy_state")}


def _identifier(path: str) -> str:
    """Turns `observation['image'][0]` into `observation_image_0`."""
    return "_".join("".join(c if c.isalnum() or c == "_" else " " for c in path).split())


def _short(name: str) -> str:
    """`state` of `observation_state`."""
    return name.removeprefix("observation_")


def in_the_environments_terms(
    functions: dict[str, Any], states: Mapping[str, tuple[int, int]], first_action: int
) -> dict[str, Any]:
    """Signatures that take discrete states and give actions as the environment numbers them, and refuse other states, and NaN
    and infinity in any observation.

    Args:
        functions: what `signatures` returned, or `serving_default`, by name.
        states: of each input that holds discrete states, the first of them, which the policy counts as 0, and how many.
        first_action: the action that the policy counts as 0.
    """

    def wrap(function: Any) -> Any:
        specs = {spec.name: spec for spec in function.structured_input_signature[0]}

        def serve(**inputs: tf.Tensor) -> Outputs:
            for name, values in inputs.items():
                if name in states:
                    inputs[name] = _counted_from_0(name, values, *states[name])
                elif not name.startswith("policy_state") and values.dtype.is_floating:
                    inputs[name] = _finite(name, values)
            outputs = dict(function(*(inputs[name] for name in specs)))
            if "action" in outputs:
                outputs["action"] += tf.constant(first_action, outputs["action"].dtype)
            return outputs

        return tf.function(serve, autograph=False).get_concrete_function(**specs)

    return {name: wrap(function) for name, function in functions.items()}


def _counted_from_0(name: str, states: tf.Tensor, first: int, count: int) -> tf.Tensor:
    index = states - tf.constant(first, states.dtype)
    message = f"{name}: expected discrete states from {first} to {first + count - 1}, got"
    return _if_all((index >= 0) & (index < count), message, states, index)


def _finite(name: str, values: tf.Tensor) -> tf.Tensor:
    return _if_all(tf.math.is_finite(values), f"{name}: expected finite numbers, got", values, values)


def _if_all(condition: tf.Tensor, message: str, shown: tf.Tensor, result: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(condition), [message, shown])]):
        return tf.identity(result)
