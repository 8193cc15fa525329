"""What the tests of value-based policies share: networks with a given output, and their action values by numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import ACTION, ACTIONS, ATOMS, FEATURES, SPEC

from polyrl import policies
from polyrl.policies import CategoricalQPolicy, QPolicy, TimeStep

LOW, HIGH = -2.0, 3.0
SUPPORT = np.array([LOW + i * (HIGH - LOW) / (ATOMS - 1) for i in range(ATOMS)])
BOTH = pytest.mark.parametrize("policy_class", [QPolicy, CategoricalQPolicy])


class Table:
    """A network that gives `output` whatever it sees, and records how it was called."""

    def __init__(self, output: Any, num_atoms: int | None = None):
        self.output = tf.constant(output, tf.float32)
        self.calls: list[tuple[Any, Any, Any]] = []
        if num_atoms is not None:
            self.num_atoms = num_atoms

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> tuple[tf.Tensor, Any]:
        self.calls.append((observation, step_type, network_state))
        return self.output, network_state


def softmax(values: np.ndarray) -> np.ndarray:
    weights = np.exp(values - values.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def random_output(policy_class: type, rows: int = 6, seed: int = 0) -> np.ndarray:
    shape = (rows, ACTIONS) if policy_class is QPolicy else (rows, ACTIONS, ATOMS)
    return np.random.default_rng(seed).normal(size=shape)


def q_of(policy_class: type, output: np.ndarray) -> np.ndarray:
    """The action values `[B, A]` of an output: the output itself, or the mean of each distribution over the atoms."""
    if policy_class is QPolicy:
        return output
    result = np.zeros(output.shape[:2])
    for row, action in np.ndindex(*result.shape):
        result[row, action] = sum(p * z for p, z in zip(softmax(output[row, action]), SUPPORT, strict=True))
    return result


def make(policy_class: type, network: Any, **arguments: Any) -> policies.ValuePolicy:
    if policy_class is CategoricalQPolicy:
        arguments = {"min_q_value": LOW, "max_q_value": HIGH, **arguments}
    return policy_class(SPEC, arguments.pop("action_spec", ACTION), network, **arguments)


def of_output(policy_class: type, output: Any, **arguments: Any) -> policies.ValuePolicy:
    return make(policy_class, Table(output, ATOMS if policy_class is CategoricalQPolicy else None), **arguments)


def steps_of(rows: int, seed: int = 0) -> TimeStep:
    return TimeStep.restart(tf.constant(np.random.default_rng(seed).normal(size=(rows, FEATURES)), tf.float32), rows)


def masking(mask: np.ndarray) -> Any:
    return lambda observation: (observation, tf.constant(mask))


def probabilities_of(policy: policies.BasePolicy, rows: int) -> np.ndarray:
    return policy.distribution(steps_of(rows)).action.probs_parameter().numpy()
