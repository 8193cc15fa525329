"""A policy as functions of tensors by name, for `tf.saved_model.save`: loaded again they need TensorFlow alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from polyrl.policies.nests import is_empty, leaves, to_tensors
from polyrl.policies.specs import TensorSpec, TimeStep

Outputs = dict[str, tf.Tensor]


def signatures(policy: Any) -> dict[str, Any]:
    """Functions for `tf.saved_model.save(policy, path, signatures=policy.signatures())`.

    Inputs are the leaves of the observation, and for a recurrent policy `step_type` and those of the state, each under its
    name (`observation`, or `observation_key`, `policy_state_key`):

    * `action`: takes `seed` int32 `[2]` besides; gives `action` `[B]`, the leaves of the next state, and `log_probability` if
      the policy emits it.
    * `distribution`: gives `probabilities` float32 `[B, A]`.
    * `get_initial_state`, of a recurrent policy: takes `batch_size` int32 `[]`; gives the leaves of the state.

    Raises:
        ValueError: if two leaves would have the same name.
    """

    def act(time_step: TimeStep, policy_state: Any, seed: tf.Tensor) -> Outputs:
        step = policy.action(time_step, policy_state, seed)
        info = {"log_probability": step.info.log_probability} if policy.emit_log_probability else {}
        return {"action": step.action, **_named(step.state), **info}

    def probabilities(time_step: TimeStep, policy_state: Any) -> Outputs:
        return {"probabilities": tf.nn.softmax(policy._checked_logits(time_step, policy_state)[0])}

    functions = {
        "action": _concrete(policy, act, [TensorSpec([2], tf.int32, "seed")]),
        "distribution": _concrete(policy, probabilities, []),
    }
    if not is_empty(policy.policy_state_spec):
        initial = tf.function(lambda batch_size: _named(policy.get_initial_state(batch_size)), autograph=False)
        functions["get_initial_state"] = initial.get_concrete_function(TensorSpec([], tf.int32, "batch_size"))
    return functions


def _concrete(policy: Any, function: Callable[..., Outputs], more: Sequence[tf.TensorSpec]) -> Any:
    """A concrete function of the leaves that policies look at, each an input by its name, and of `more`."""
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

    return tf.function(serve, autograph=False).get_concrete_function(*inputs, *more)


def _named(state: Any) -> Outputs:
    return {_identifier(path): leaf for path, leaf in leaves(to_tensors("policy_state", state), "policy_state")}


def _identifier(path: str) -> str:
    """`observation['image'][0]` as `observation_image_0`."""
    return "_".join("".join(c if c.isalnum() or c == "_" else " " for c in path).split())
