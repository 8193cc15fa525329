"""The specs, time steps and trajectories that policies take and return."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import FEATURES, ROWS, SPEC, categorical, steps

from polyrl.policies import BoundedTensorSpec, StepType, TimeStep, Trajectory


@pytest.mark.parametrize(
    ("make", "step_type", "discount"),
    [(TimeStep.transition, 1, 1.0), (TimeStep.termination, 2, 0.0), (TimeStep.truncation, 2, 1.0)],
)
def test_time_steps_tell_their_place_in_the_episode(make: Any, step_type: int, discount: float) -> None:
    observation = tf.zeros([2, FEATURES])
    step = make(observation, [1.5, -1.0])
    assert step.observation is observation
    np.testing.assert_array_equal(step.step_type, [step_type] * 2)
    np.testing.assert_array_equal(step.reward, [1.5, -1.0])
    np.testing.assert_array_equal(step.discount, [discount] * 2)
    np.testing.assert_array_equal(step.is_last(), [step_type == 2] * 2)
    np.testing.assert_array_equal(step.is_first(), [False] * 2)
    np.testing.assert_array_equal(TimeStep.restart(step.observation, 2).is_first(), [True] * 2)


def test_restart_gives_first_steps_that_match_the_spec() -> None:
    step = TimeStep.restart(tf.zeros([ROWS, FEATURES]), ROWS)
    np.testing.assert_array_equal(step.step_type, [StepType.FIRST] * ROWS)
    np.testing.assert_array_equal(step.reward, np.zeros(ROWS))
    np.testing.assert_array_equal(step.discount, np.ones(ROWS))
    for spec, tensor in zip(SPEC, step, strict=True):
        assert tensor.dtype == spec.dtype
        assert tensor.shape == (ROWS, *spec.shape)


@pytest.mark.parametrize("make", [TimeStep.transition, TimeStep.truncation])
@pytest.mark.parametrize("discount", [0.5, [0.5, 0.25]])
def test_the_discount_of_a_step_may_be_given(make: Any, discount: Any) -> None:
    step = make(tf.zeros([2, FEATURES]), [1.5, -1.0], discount)
    np.testing.assert_array_equal(step.discount, np.broadcast_to(discount, [2]))
    assert step.discount.dtype == tf.float32


def test_a_trajectory_holds_the_outcome_of_its_step() -> None:
    policy = categorical()
    now = TimeStep.transition(steps().observation, tf.fill([ROWS], 1.0))
    later = TimeStep.termination(-steps().observation, tf.fill([ROWS], 2.0))
    chosen = policy.action(now, seed=0)
    trajectory = Trajectory.from_transition(now, chosen, later)
    np.testing.assert_array_equal(trajectory.reward, [2.0] * ROWS)
    np.testing.assert_array_equal(trajectory.discount, [0.0] * ROWS)
    np.testing.assert_array_equal(trajectory.step_type, [StepType.MID] * ROWS)
    np.testing.assert_array_equal(trajectory.next_step_type, [StepType.LAST] * ROWS)
    assert trajectory.observation is now.observation
    assert trajectory.action is chosen.action


def test_shape_and_dtype_of_a_spec_are_converted() -> None:
    spec = BoundedTensorSpec([2], "int32", 0, 1)
    assert spec.shape == (2,)
    assert spec.dtype is tf.int32


def test_bounds_may_be_given_for_each_element() -> None:
    spec = BoundedTensorSpec([2], tf.float32, [-1.0, -2.0], np.array([1.0, 2.0]))
    assert spec.minimum == (-1.0, -2.0)
    assert spec == BoundedTensorSpec((2,), tf.float32, (-1.0, -2.0), (1.0, 2.0))
    with pytest.raises(ValueError, match=r"minimum=\(0.0, 3.0\) must not exceed maximum=\(1.0, 2.0\)"):
        BoundedTensorSpec([2], tf.float32, [0.0, 3.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="minimum=2 must not exceed maximum=1"):
        BoundedTensorSpec((), tf.int32, 2, 1)
    with pytest.raises(ValueError, match=r"minimum has shape \(3,\), expected \(\) or \(2,\)"):
        BoundedTensorSpec([2], tf.float32, [0.0, 0.0, 0.0], 1.0)


@pytest.mark.parametrize(
    ("dtype", "maximum"), [(tf.int32, 2.5), (tf.int8, 128), (tf.uint8, [1, 256]), (tf.int32, np.inf), (tf.float32, np.nan)]
)
def test_a_bound_that_is_not_a_value_of_the_dtype_is_refused(dtype: tf.DType, maximum: Any) -> None:
    with pytest.raises(ValueError, match=f"maximum=.* is not a value of dtype {dtype.name}"):
        BoundedTensorSpec([2] if isinstance(maximum, list) else [], dtype, 0, maximum)


def test_specs_of_different_names_differ() -> None:
    assert BoundedTensorSpec([], tf.int32, 0, 1, "action") != BoundedTensorSpec([], tf.int32, 0, 1, "other")
    assert BoundedTensorSpec([], tf.int32, 0, 1).name is None


def test_a_bound_of_real_numbers_may_be_infinite() -> None:
    assert BoundedTensorSpec([], tf.float32, -np.inf, np.inf).maximum == np.inf
