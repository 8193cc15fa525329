"""A policy as functions of named tensors, for `tf.saved_model.save`: once loaded they need TensorFlow alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from polyrl.engine.tracing import traced
from polyrl.policies.nests import is_empty, leaves, to_tensors
from polyrl.policies.specs import TensorSpec, TimeStep

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


def _concrete(policy: Any, function: Callable[..., Outputs], more: Sequence[tf.TensorSpec]) -> Any:
    """A concrete function whose inputs are the leaves that the policy reads, each by its name, and `more`."""
    observation, state = policy.time_step_spec.observation, policy.policy_state_spec
    named = {"observation": observation}
    if not is_empty(state):
        named |= {"step_type": TensorSpec([], tf.int32), "policy_state": state}
    inputs = [
        TensorSpec([None, *spec.shape], spec.dtype, _identifier(path))
        for name, nest in named.items()
        for path, spec in leaves(nest, name)
    ]
    names = [spec.name for spec in inputs]
    if len(set(names)) < len(names):
        raise ValueError(f"Two leaves of the observation or the state would have the same name: {sorted(names)}.")

    def serve(*tensors: tf.Tensor) -> Outputs:
        parts = dict(zip(named, tf.nest.pack_sequence_as(tuple(named.values()), tensors[: len(inputs)]), strict=True))
        time_step = TimeStep.restart(parts["observation"], tf.shape(tensors[0])[0])
        if "step_type" in parts:
            time_step = time_step._replace(step_type=parts["step_type"])
        return function(time_step, parts.get("policy_state", ()), *tensors[len(inputs) :])

    return traced(serve).get_concrete_function(*inputs, *more)


def _named(state: Any) -> Outputs:
    return {_identifier(path): leaf for path, leaf in leaves(to_tensors("policy_state", state), "policy_state")}


def _identifier(path: str) -> str:
    """Turns `observation['image'][0]` into `observation_image_0`."""
    return "_".join("".join(c if c.isalnum() or c == "_" else " " for c in path).split())


def shifted(functions: dict[str, Any], observations: Mapping[str, int], action: int) -> dict[str, Any]:
    """Signatures for an environment whose discrete states and actions do not start at 0.

    Args:
        functions: what `signatures` returned.
        observations: by the name of an input, the state that the policy counts as 0.
        action: the action that the policy counts as 0.
    """

    def shift(function: Any) -> Any:
        specs = {spec.name: spec for spec in function.structured_input_signature[0]}

        def serve(**inputs: tf.Tensor) -> Outputs:
            starts = {name: tf.constant(start, inputs[name].dtype) for name, start in observations.items() if start}
            outputs = dict(function(*(inputs[name] - starts[name] if name in starts else inputs[name] for name in specs)))
            if "action" in outputs:
                outputs["action"] += tf.constant(action, outputs["action"].dtype)
            return outputs

        return tf.function(serve, autograph=False).get_concrete_function(**specs)

    return {name: shift(function) for name, function in functions.items()}
