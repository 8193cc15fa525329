"""What a policy says of its inputs and outputs, and that these are so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import (
    ACTION,
    ACTIONS,
    ATOMS,
    FEATURES,
    MASK,
    ROWS,
    SPEC,
    Counter,
    Logits,
    Recurrent,
    categorical,
    counting,
    probabilities,
    q_model,
    steps,
)

from polyrl import policies
from polyrl.policies import (
    BoltzmannPolicy,
    BoundedTensorSpec,
    CategoricalQPolicy,
    EpsilonGreedyPolicy,
    GreedyPolicy,
    PolicyInfo,
    PolicyStep,
    QPolicy,
    StepType,
    TensorSpec,
    TimeStep,
    Trajectory,
)


def test_the_specs_of_a_policy_without_state_and_information() -> None:
    policy = QPolicy(SPEC, ACTION, q_model())
    assert policy.policy_state_spec == ()
    assert policy.info_spec == ()
    assert not policy.emit_log_probability
    assert policy.validate_args
    assert policy.policy_step_spec == PolicyStep(ACTION, (), ())
    step_type, reward, discount, observation = SPEC
    assert policy.trajectory_spec == Trajectory(step_type, observation, ACTION, (), step_type, reward, discount)
    assert policy.collect_data_spec == policy.trajectory_spec


def test_a_categorical_policy_shows_what_it_was_given() -> None:
    splitter = lambda each: (each, tf.constant(MASK))  # noqa: E731
    options = {"risk_level": 0.25, "emit_log_probability": True, "validate_args": False, "name": "p"}
    policy = CategoricalQPolicy(SPEC, ACTION, Recurrent(), -2.0, 2.0, splitter, 0.5, **options)
    assert policy.time_step_spec is SPEC
    assert policy.action_spec is ACTION
    assert policy.observation_and_action_constraint_splitter is splitter
    assert policy.policy_state_spec == [tf.TensorSpec([8], tf.float32)]
    assert type(policy.policy_state_spec) is list
    assert policy.policy_step_spec == PolicyStep(ACTION, policy.policy_state_spec, policy.info_spec)
    assert policy.collect_data_spec == policy.trajectory_spec
    assert policy.trajectory_spec.policy_info == PolicyInfo(tf.TensorSpec([], tf.float32, "log_probability"))
    assert policy.emit_log_probability
    assert not policy.validate_args
    assert (policy.temperature, policy.risk_level, policy.num_actions, policy.name) == (0.5, 0.25, ACTIONS, "p")
    np.testing.assert_allclose(policy.support, [-2.0, -1.0, 0.0, 1.0, 2.0])


def test_observations_may_be_nests_of_specs_bounded_or_not() -> None:
    observation = {"pixels": BoundedTensorSpec([2, 2], tf.uint8, 0, 255), "place": [TensorSpec([], tf.float32)]}
    spec = policies.time_step_spec(observation)
    policy = CategoricalQPolicy(spec, ACTION, Logits(np.zeros((ACTIONS, ATOMS))), -1.0, 1.0)
    assert policy.trajectory_spec.observation is observation
    step = TimeStep.restart({"pixels": tf.zeros([ROWS, 2, 2], tf.uint8), "place": [tf.zeros([ROWS])]}, ROWS)
    assert policy.action(step).action.shape == (ROWS,)


def test_the_specs_of_a_recurrent_policy_that_tells_probabilities() -> None:
    policy = counting(emit_log_probability=True)
    assert policy.policy_state_spec == Counter.state_spec
    assert policy.emit_log_probability
    assert policy.info_spec == PolicyInfo(tf.TensorSpec([], tf.float32, "log_probability"))
    assert policy.policy_step_spec == PolicyStep(ACTION, Counter.state_spec, policy.info_spec)
    assert policy.trajectory_spec.policy_info == policy.info_spec


@pytest.mark.parametrize("log_probability", [False, True])
def test_what_an_action_gives_matches_its_specs(log_probability: bool) -> None:
    policy = counting(emit_log_probability=log_probability)
    step = policy.action(steps(), policy.get_initial_state(ROWS), seed=0)
    tf.nest.assert_same_structure(step, policy.policy_step_spec)
    following = TimeStep.transition(steps().observation, tf.ones([ROWS]))
    trajectory = Trajectory.from_transition(steps(), step, following)
    tf.nest.assert_same_structure(trajectory, policy.trajectory_spec)
    for spec, leaf in zip(tf.nest.flatten(policy.trajectory_spec), tf.nest.flatten(trajectory), strict=True):
        assert leaf.dtype == spec.dtype
        assert leaf.shape == (ROWS, *spec.shape)


@pytest.mark.parametrize(
    ("make", "step_type", "discount"),
    [(TimeStep.transition, 1, 1.0), (TimeStep.termination, 2, 0.0), (TimeStep.truncation, 2, 1.0)],
)
def test_time_steps_say_where_they_lie(make: Any, step_type: int, discount: float) -> None:
    observation = tf.zeros([2, FEATURES])
    step = make(observation, [1.5, -1.0])
    assert step.observation is observation
    np.testing.assert_array_equal(step.step_type, [step_type] * 2)
    np.testing.assert_array_equal(step.reward, [1.5, -1.0])
    np.testing.assert_array_equal(step.discount, [discount] * 2)
    np.testing.assert_array_equal(step.is_last(), [step_type == 2] * 2)
    np.testing.assert_array_equal(step.is_first(), [False] * 2)
    np.testing.assert_array_equal(TimeStep.restart(step.observation, 2).is_first(), [True] * 2)


@pytest.mark.parametrize("make", [TimeStep.transition, TimeStep.truncation])
@pytest.mark.parametrize("discount", [0.5, [0.5, 0.25]])
def test_a_step_may_have_a_discount_of_its_own(make: Any, discount: Any) -> None:
    step = make(tf.zeros([2, FEATURES]), [1.5, -1.0], discount)
    np.testing.assert_array_equal(step.discount, np.broadcast_to(discount, [2]))
    assert step.discount.dtype == tf.float32


def test_a_trajectory_has_the_outcome_of_its_step() -> None:
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


def test_bounds_may_be_given_for_each_element() -> None:
    spec = BoundedTensorSpec([2], tf.float32, [-1.0, -2.0], np.array([1.0, 2.0]))
    assert spec.minimum == (-1.0, -2.0)
    assert spec == BoundedTensorSpec((2,), tf.float32, (-1.0, -2.0), (1.0, 2.0))
    with pytest.raises(ValueError, match=r"minimum=\(0.0, 3.0\) must not exceed maximum=\(1.0, 2.0\)"):
        BoundedTensorSpec([2], tf.float32, [0.0, 3.0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"minimum has shape \(3,\)"):
        BoundedTensorSpec([2], tf.float32, [0.0, 0.0, 0.0], 1.0)


@pytest.mark.parametrize(
    ("dtype", "maximum"), [(tf.int32, 2.5), (tf.int8, 128), (tf.uint8, [1, 256]), (tf.int32, np.inf), (tf.float32, np.nan)]
)
def test_a_bound_that_is_no_value_of_the_dtype_is_refused(dtype: tf.DType, maximum: Any) -> None:
    with pytest.raises(ValueError, match=f"maximum=.* is no value of dtype {dtype.name}"):
        BoundedTensorSpec([2] if isinstance(maximum, list) else [], dtype, 0, maximum)


def test_specs_of_different_names_differ() -> None:
    assert BoundedTensorSpec([], tf.int32, 0, 1, "action") != BoundedTensorSpec([], tf.int32, 0, 1, "other")
    assert BoundedTensorSpec([], tf.int32, 0, 1).name is None


def test_a_bound_of_real_numbers_may_be_infinite() -> None:
    assert BoundedTensorSpec([], tf.float32, -np.inf, np.inf).maximum == np.inf


@pytest.mark.parametrize("make", [
    lambda policy: policy,
    GreedyPolicy,
    lambda policy: EpsilonGreedyPolicy(policy, 0.4),
    lambda policy: BoltzmannPolicy(policy, 3.0),
], ids=["itself", "greedy", "epsilon", "boltzmann"])  # fmt: skip
def test_the_logarithm_of_the_probability_is_that_of_the_distribution(make: Any) -> None:
    policy = make(categorical(emit_log_probability=True))
    step = policy.action(steps(), seed=5)
    chosen = probabilities(policy)[np.arange(ROWS), step.action.numpy()]
    np.testing.assert_allclose(step.info.log_probability, np.log(chosen), rtol=1e-5, atol=1e-6)


def test_a_distribution_has_the_structure_of_the_info_spec_without_a_probability() -> None:
    policy = categorical(emit_log_probability=True)
    info = policy.distribution(steps()).info
    tf.nest.assert_same_structure(info, policy.info_spec)
    np.testing.assert_array_equal(info.log_probability, np.full(ROWS, np.nan))
    assert categorical().distribution(steps()).info == categorical().info_spec == ()
