"""Arguments of policies and of their methods: taken if they have a meaning, refused by name if not."""

from __future__ import annotations

import functools
import math
import numbers
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from borders_testing import ANYTHING, NUMBERS, arrays, attempt, drive, quick, slow
from hypothesis import strategies as st

from polyrl import policies
from polyrl.policies import BoundedTensorSpec, TimeStep

SPEC = policies.time_step_spec(tf.TensorSpec([3], tf.float32))
ACTION, BOX = BoundedTensorSpec((), tf.int32, 0, 1), BoundedTensorSpec([1], tf.float32, -1.0, 1.0)


class Counting(tf.Module):
    """A recurrent network of two actions."""

    state_spec = {"count": tf.TensorSpec([2], tf.int32)}

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
        return observation[:, :2], network_state


@functools.cache
def network(kind: str) -> Any:
    if kind == "CategoricalQPolicy":
        model = tf_keras.Sequential([tf_keras.Input([3]), tf_keras.layers.Dense(6), tf_keras.layers.Reshape([2, 3])])
        model.num_atoms = 3
        return model
    if kind == "NAFPolicy":
        inputs = tf_keras.Input([3])
        return tf_keras.Model(inputs, [tf_keras.layers.Dense(1)(inputs), tf_keras.layers.Dense(1)(inputs)])
    return Counting()


def usual(kind: str) -> dict[str, Any]:
    if kind == "RandomPolicy":
        return {"time_step_spec": SPEC, "action_spec": ACTION}
    if kind in ("GreedyPolicy", "EpsilonGreedyPolicy", "BoltzmannPolicy"):
        policy = policies.QPolicy(**usual("QPolicy"))
        return {"policy": policy, **({"epsilon": 0.5} if kind == "EpsilonGreedyPolicy" else {})}
    given = {"time_step_spec": SPEC, "action_spec": BOX if kind == "NAFPolicy" else ACTION, "q_network": network(kind)}
    return {**given, **({"min_q_value": -1.0, "max_q_value": 1.0} if kind == "CategoricalQPolicy" else {})}


FURTHER = {
    "QPolicy": ["temperature", "emit_log_probability", "validate_args", "observation_and_action_constraint_splitter"],
    "CategoricalQPolicy": ["temperature", "risk_level", "validate_args"],
    "NAFPolicy": ["temperature", "emit_log_probability", "observation_and_action_constraint_splitter"],
    "BoltzmannPolicy": ["temperature"],
}
FURTHER |= {kind: [] for kind in ("GreedyPolicy", "EpsilonGreedyPolicy", "RandomPolicy")}
RANGES = {"temperature": (0, math.inf), "epsilon": (0, 1), "risk_level": (0, 1), "min_q_value": (-math.inf, 1)}


def steps() -> TimeStep:
    return TimeStep.restart(tf.ones([2, 3]), 2)


def an_argument_is_taken_or_refused(case: Any) -> None:
    kind, key, value = case
    taken, found = attempt(lambda: getattr(policies, kind)(**{**usual(kind), key: value}), key, kind)
    if key in RANGES and taken and not (callable(value) or tf.is_tensor(value)):
        low, high = RANGES[key]
        assert isinstance(value, numbers.Real), f"{key}={value!r} was taken"
        assert low <= value <= high, f"{key}={value!r} was taken"
        attempt(lambda: found.action(steps(), seed=1), key)
    elif key in ("emit_log_probability", "validate_args"):
        assert taken == isinstance(value, (bool, np.bool_)) or (kind == "NAFPolicy" and not taken)
    elif key in ("time_step_spec", "action_spec", "policy", "q_network") and not callable(value):
        taken = taken and not any(value is spec for spec in (SPEC, ACTION, BOX))
        assert not taken


def an_input_is_taken_or_refused(case: Any) -> None:
    """What `action` and `get_initial_state` are given."""
    kind, place, value = case
    policy = made(kind)
    if place == "batch_size":
        small = not isinstance(value, (int, np.integer)) or isinstance(value, np.timedelta64) or value < 100
        array = np.asarray(value.numpy()) if tf.is_tensor(value) else value
        if small and not (isinstance(array, np.ndarray) and array.size and array.dtype.kind in "iu" and array.max() > 100):
            attempt(lambda: policy.get_initial_state(value), "batch_size")
        return
    given: dict[str, Any] = {"time_step": steps(), "seed": 1}
    if place in TimeStep._fields:
        given["time_step"] = given["time_step"]._replace(**{place: value})
    else:
        given[place] = value
    taken, found = attempt(lambda: policy.action(**given), place, "time_step", "policy_state", "NaN")
    if taken:
        assert found.action.shape[0] == 2
        assert np.isfinite(found.action.numpy()).all()


@functools.cache
def made(kind: str) -> Any:
    return getattr(policies, kind)(**usual(kind))


KEYS = [(kind, key) for kind in FURTHER for key in (*usual(kind), *FURTHER[kind])]
VALUES = st.one_of(NUMBERS, ANYTHING, st.sampled_from([SPEC, ACTION, BOX, tf.constant(0.5), lambda: 0.5]))
ARGUMENTS = st.sampled_from(KEYS).flatmap(lambda place: st.tuples(st.just(place[0]), st.just(place[1]), VALUES))
PLACES = st.sampled_from(["batch_size", "time_step", "policy_state", "seed", *TimeStep._fields])
SHAPED = arrays(st.sampled_from([(2,), (2, 3), (3,), (1, 3)]))
INPUTS = st.tuples(st.sampled_from(list(FURTHER)), PLACES, st.one_of(ANYTHING, SHAPED, NUMBERS))
PROPERTIES = {
    "arguments": (an_argument_is_taken_or_refused, ARGUMENTS),
    "inputs": (an_input_is_taken_or_refused, INPUTS),
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_what_a_policy_is_given_is_taken_or_refused(name):
    quick(*PROPERTIES[name], examples=100)


@slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_what_a_policy_is_given_is_taken_or_refused_for_long(name):
    drive(*PROPERTIES[name], seconds=30)
