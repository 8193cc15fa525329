"""Inputs that do not match their specs are refused, and the error names each leaf that differs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import ACTION, ROWS, SPEC, counting, nested, nested_policy, q_model, steps

from polyrl.policies import QPolicy, StepType, TimeStep


@pytest.mark.parametrize("method", ["action", "distribution"])
@pytest.mark.parametrize(
    ("step", "message"),
    [
        (nested(image=None), r"time_step.observation\['image'\] is missing, expected uint8 \[B, 2, 2\]"),
        (nested(sound=tf.zeros([ROWS])), r"time_step.observation\['sound'\] is not in the spec"),
        (nested(image=tf.zeros([ROWS, 2, 2])), r"observation\['image'\] has dtype float32, expected uint8"),
        (nested(image=tf.zeros([ROWS, 2, 3], tf.uint8)), r"has shape \(6, 2, 3\), expected uint8 \[B, 2, 2\]"),
        (nested(place=(tf.zeros([3]),)), r"observation\['place'\]\[0\] has shape \(3,\)"),
        (nested(place=(tf.zeros([5, 3]),)), r"observation\['place'\]\[0\] has 5 rows, but time_step.step_type has 6"),
        (nested()._replace(step_type=tf.zeros([ROWS], tf.int64)), "time_step.step_type has dtype int64, expected int32"),
        (nested(place=[tf.zeros([ROWS, 3])]), r"observation\['place'\] is a list, expected a tuple"),
        (nested(place=tf.zeros([ROWS, 3])), r"observation\['place'\] is float32 \[6, 3\], expected a tuple"),
        (nested(image={0: tf.zeros([ROWS])}), r"observation\['image'\] is a dict, expected uint8 \[B, 2, 2\]"),
        (nested(place=()), r"observation\['place'\]\[0\] is missing, expected float32 \[B, 3\]"),
        (nested(image=tf.zeros([2, ROWS, 2, 2], tf.uint8)), r"has shape \(2, 6, 2, 2\), expected uint8 \[B, 2, 2\]"),
        (nested(place=(np.zeros([ROWS, 3]),)), r"observation\['place'\]\[0\] has dtype float64, expected float32"),
    ],
)
def test_a_time_step_that_does_not_match_is_refused(method: str, step: TimeStep, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(nested_policy(), method)(step)


def test_all_differences_are_in_one_error() -> None:
    step = nested(image=tf.zeros([ROWS, 2, 2]), place=(tf.zeros([ROWS, 1]),))
    with pytest.raises(ValueError, match=r"\['image'\] has dtype.*\['place'\]\[0\] has shape"):
        nested_policy().action(step)


def test_a_tuple_is_not_a_time_step() -> None:
    with pytest.raises(TypeError, match="must be a TimeStep"):
        nested_policy().action(tuple(nested()))


def test_without_checks_a_mismatch_is_accepted() -> None:
    step = nested(image=tf.zeros([ROWS, 2, 2]))
    policy = nested_policy(validate_args=False)
    assert not policy.validate_args
    assert policy.action(step, seed=0).action.shape == (ROWS,)


def test_arrays_of_the_right_dtype_are_accepted() -> None:
    step = TimeStep(*(np.asarray(leaf) for leaf in steps()))
    policy = QPolicy(SPEC, ACTION, q_model())
    np.testing.assert_array_equal(policy.action(step, seed=3).action, policy.action(steps(), seed=3).action)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"count": tf.zeros([ROWS])}, r"policy_state\['sums'\]\[0\] is missing"),
        ({"count": tf.zeros([ROWS], tf.int32), "sums": (tf.zeros([ROWS, 2]),)}, r"policy_state\['count'\] has dtype int32"),
        ({"count": tf.zeros([ROWS]), "sums": (tf.zeros([ROWS, 3]),)}, r"policy_state\['sums'\]\[0\] has shape \(6, 3\)"),
    ],
)
def test_a_state_that_does_not_match_is_refused(state: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        counting().action(steps(StepType.MID), state)


def test_a_state_is_refused_where_there_is_none() -> None:
    with pytest.raises(ValueError, match=r"policy_state is float32 \[6\], expected an empty tuple"):
        QPolicy(SPEC, ACTION, q_model()).action(steps(), tf.zeros([ROWS]))


def test_a_mismatch_is_refused_in_a_graph_too() -> None:
    policy = nested_policy()
    with pytest.raises(ValueError, match=r"observation\['image'\] has dtype float32, expected uint8"):
        tf.function(lambda step: policy.action(step).action)(nested(image=tf.zeros([ROWS, 2, 2])))


def test_a_leaf_that_cannot_be_a_tensor_is_named() -> None:
    with pytest.raises(TypeError, match=r"time_step.observation\['image'\]=.* must be a tensor"):
        nested_policy().action(nested(image=object()))
    with pytest.raises(TypeError, match="policy_state=None must be a tensor"):
        nested_policy().action(nested(), None)
