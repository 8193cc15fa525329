"""What all policies share: their specs, and what their constructor and their outputs are checked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import (
    ACTION,
    ACTIONS,
    ATOMS,
    CONTINUOUS,
    MASK,
    ROWS,
    SPEC,
    Counter,
    Logits,
    Recurrent,
    categorical,
    counting,
    naf,
    naf_model,
    probabilities,
    q_model,
    steps,
)

from polyrl import policies
from polyrl.policies import (
    BasePolicy,
    BoltzmannPolicy,
    BoundedTensorSpec,
    CategoricalQPolicy,
    DiscretePolicy,
    EpsilonGreedyPolicy,
    GreedyPolicy,
    NAFPolicy,
    PolicyInfo,
    PolicyStep,
    QPolicy,
    RandomPolicy,
    TensorSpec,
    TimeStep,
    Trajectory,
)

MAKERS = {
    "q": lambda step, action: QPolicy(step, action, q_model()),
    "categorical": lambda step, action: CategoricalQPolicy(step, action, Recurrent(), -2.0, 2.0),
    "naf": lambda step, action: NAFPolicy(step, action, naf_model()),
    "random": RandomPolicy,
}


def test_the_specs_of_a_policy_without_state_and_side_information() -> None:
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


def test_the_specs_of_a_recurrent_policy_that_emits_log_probabilities() -> None:
    policy = counting(emit_log_probability=True)
    assert policy.policy_state_spec == Counter.state_spec
    assert policy.emit_log_probability
    assert policy.info_spec == PolicyInfo(tf.TensorSpec([], tf.float32, "log_probability"))
    assert policy.policy_step_spec == PolicyStep(ACTION, Counter.state_spec, policy.info_spec)
    assert policy.trajectory_spec.policy_info == policy.info_spec


@pytest.mark.parametrize("log_probability", [False, True])
@pytest.mark.parametrize("make", [counting, lambda **options: naf(temperature=1.0, **options)], ids=["discrete", "continuous"])
def test_what_an_action_returns_matches_its_specs(make: Any, log_probability: bool) -> None:
    policy = make(emit_log_probability=log_probability)
    step = policy.action(steps(), policy.get_initial_state(ROWS), seed=0)
    tf.nest.assert_same_structure(step, policy.policy_step_spec)
    next_step = TimeStep.transition(steps().observation, tf.ones([ROWS]))
    trajectory = Trajectory.from_transition(steps(), step, next_step)
    tf.nest.assert_same_structure(trajectory, policy.trajectory_spec)
    for spec, leaf in zip(tf.nest.flatten(policy.trajectory_spec), tf.nest.flatten(trajectory), strict=True):
        assert leaf.dtype == spec.dtype
        assert leaf.shape == (ROWS, *spec.shape)


@pytest.mark.parametrize("make", [
    lambda policy: policy,
    GreedyPolicy,
    lambda policy: EpsilonGreedyPolicy(policy, 0.4),
    lambda policy: BoltzmannPolicy(policy, 3.0),
], ids=["itself", "greedy", "epsilon", "boltzmann"])  # fmt: skip
def test_the_log_probability_is_that_of_the_distribution(make: Any) -> None:
    policy = make(categorical(emit_log_probability=True))
    step = policy.action(steps(), seed=5)
    chosen = probabilities(policy)[np.arange(ROWS), step.action.numpy()]
    np.testing.assert_allclose(step.info.log_probability, np.log(chosen), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", [
    categorical(emit_log_probability=True), naf(emit_log_probability=True, temperature=1.0)
], ids=["discrete", "continuous"])  # fmt: skip
def test_the_side_information_of_a_distribution_is_nan(policy: BasePolicy) -> None:
    info = policy.distribution(steps()).info
    tf.nest.assert_same_structure(info, policy.info_spec)
    np.testing.assert_array_equal(info.log_probability, np.full(ROWS, np.nan))
    assert categorical().distribution(steps()).info == categorical().info_spec == ()


@pytest.mark.parametrize("call", ["action", "distribution", "get_initial_state", "update", "time_step_spec"])
def test_a_subclass_that_does_not_call_super_is_refused(call: str) -> None:
    class Careless(QPolicy):
        def __init__(self) -> None:
            pass

    calls = {
        "action": lambda policy: policy.action(steps()),
        "distribution": lambda policy: policy.distribution(steps()),
        "get_initial_state": lambda policy: policy.get_initial_state(1),
        "update": lambda policy: policy.update(QPolicy(SPEC, ACTION, q_model())),
        "time_step_spec": lambda policy: policy.time_step_spec,
    }
    with pytest.raises(RuntimeError, match=r"Careless.__init__ must call super\(\).__init__\(\)"):
        calls[call](Careless())


def test_a_subclass_that_defines_no_distribution_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="BasePolicy must define _distribution, or be a subclass of DiscretePolicy"):
        BasePolicy(SPEC, ACTION).action(steps())


class Shrinking(DiscretePolicy):
    """A subclass whose logits are for one action too few."""

    def _logits(self, time_step: TimeStep, policy_state: Any) -> Any:
        return tf.zeros([ROWS, ACTIONS - 1]), policy_state


@pytest.mark.parametrize("method", ["action", "distribution"])
def test_a_subclass_that_gives_the_wrong_number_of_logits_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match=r"logits has shape \(6, 2\), expected float32 \[B, 3\]"):
        getattr(Shrinking(SPEC, ACTION), method)(steps())


def test_a_state_spec_that_does_not_hold_specs_is_refused() -> None:
    with pytest.raises(TypeError, match=r"policy_state_spec\[0\]=3 must be a TensorSpec"):
        BasePolicy(SPEC, ACTION, (3,))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("spec", [None, ACTIONS, tf.TensorSpec([], tf.int32), SPEC], ids=["none", "int", "unbounded", "step"])
def test_an_action_spec_that_is_not_bounded_is_refused(make: Any, spec: Any) -> None:
    with pytest.raises(TypeError, match=r"action_spec=.* must be a BoundedTensorSpec"):
        make(SPEC, spec)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_time_step_spec_of_another_type_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match="time_step_spec=None must be a TimeStep of specs"):
        make(None, CONTINUOUS if make is MAKERS["naf"] else ACTION)


@pytest.mark.parametrize("step", [SPEC._replace(reward=1.0), SPEC._replace(observation={"x": (3,)}), steps()])
def test_a_time_step_spec_that_does_not_hold_specs_is_refused(step: TimeStep) -> None:
    with pytest.raises(TypeError, match=r"time_step_spec\..*=.* must be a TensorSpec"):
        RandomPolicy(step, ACTION)


def test_a_network_that_returns_another_state_than_its_spec_is_refused() -> None:
    class Wrong(Counter):
        def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
            values, state = super().__call__(observation, step_type, network_state)
            return values, {"count": state["count"]}

    with pytest.raises(ValueError, match=r"policy_step.state\['sums'\]\[0\] is missing"):
        QPolicy(SPEC, ACTION, Wrong()).action(steps())
