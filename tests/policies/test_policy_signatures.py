"""No parameter of the public policy classes is ignored: each changes what can be observed, or is refused."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from policy_signatures import parameters, test_names
from policy_testing import (
    ACTION,
    ATOMS,
    CONTINUOUS,
    LOW,
    MASK,
    ROWS,
    SPEC,
    Logits,
    atoms_model,
    categorical,
    naf_model,
    q_model,
    steps,
)

from polyrl import policies
from polyrl.policies import (
    BasePolicy,
    BoltzmannPolicy,
    BoundedTensorSpec,
    CategoricalQPolicy,
    EpsilonGreedyPolicy,
    GreedyPolicy,
    NAFPolicy,
    QPolicy,
    QuantileQPolicy,
    RandomPolicy,
)

OTHER_STEP = SPEC._replace(reward=tf.TensorSpec([], tf.float32, "reward"))
OTHER_ACTION = BoundedTensorSpec((), tf.int64, 0, ACTION.maximum)
COMMON = {
    "time_step_spec": (SPEC, OTHER_STEP),
    "action_spec": (ACTION, OTHER_ACTION),
    "observation_and_action_constraint_splitter": (None, lambda each: (each, tf.constant(MASK))),
    "emit_log_probability": (False, True),
    "validate_args": (True, False),
    "name": (None, "other"),
}
WRAPPED = {"policy": (categorical(), categorical(Logits(np.eye(3, ATOMS)))), "name": (None, "other")}
CONSTRUCTORS: dict[type, dict[str, tuple[Any, Any]]] = {
    # For each parameter a value, and another one whose effect must be observable from outside.
    CategoricalQPolicy: {
        **COMMON,
        "q_network": (atoms_model(0), atoms_model(1)),
        "min_q_value": (-2.0, -20.0),
        "max_q_value": (2.0, 20.0),
        "temperature": (1.0, 0.5),
        "risk_level": (1.0, 0.1),
    },
    NAFPolicy: {
        **COMMON,
        "action_spec": (CONTINUOUS, BoundedTensorSpec([2], tf.float32, LOW, 20.0)),
        "q_network": (naf_model(0), naf_model(1)),
        "temperature": (1.0, 0.5),
    },
    QPolicy: {**COMMON, "q_network": (q_model(0), q_model(1)), "temperature": (1.0, 0.5)},
    QuantileQPolicy: {
        **COMMON,
        "q_network": (atoms_model(0), atoms_model(1)),
        "temperature": (1.0, 0.5),
        "risk_level": (1.0, 0.1),
    },
    RandomPolicy: COMMON,
    GreedyPolicy: WRAPPED,
    EpsilonGreedyPolicy: {**WRAPPED, "epsilon": (0.5, 0.1)},
    BoltzmannPolicy: {**WRAPPED, "temperature": (1.0, 0.5)},
}


def observed(cls: type, **arguments: Any) -> list[Any]:
    """What a user can observe of a policy with these arguments, its refusal included."""
    try:
        policy = cls(**arguments)
    except ValueError as error:
        return [str(error)]
    step, wrong = steps(), steps()._replace(discount=tf.ones([ROWS], tf.float64))
    chosen = policy.action(step, seed=0)
    try:
        policy.action(wrong)
        refuses = False
    except ValueError:
        refuses = True
    found = policy.distribution(step)
    specs = [policy.trajectory_spec, policy.policy_step_spec, policy.time_step_spec]
    discrete = policy.action_spec.dtype.is_integer
    numbers = [found.action.probs_parameter()] if discrete else [found.action.mean(), found.action.covariance()]
    return [policy.name, repr(specs), repr(chosen.info), refuses, *(each.numpy().tolist() for each in numbers)]


REFUSED = {(NAFPolicy, "observation_and_action_constraint_splitter")}
CASES = [(cls, name) for cls, values in CONSTRUCTORS.items() for name in values]


@pytest.mark.default_cases(15)
@pytest.mark.parametrize(("cls", "name"), CASES, ids=[f"{cls.__name__}-{name}" for cls, name in CASES])
def test_every_constructor_parameter_has_an_effect(cls: type, name: str) -> None:
    usual = {key: values[0] for key, values in CONSTRUCTORS[cls].items()}
    first = observed(cls, **usual)
    assert len(first) > 1
    assert observed(cls, **usual) == first, "the same policy made twice must look the same"
    other = observed(cls, **{**usual, name: CONSTRUCTORS[cls][name][1]})
    assert other != first
    assert (len(other) == 1) == ((cls, name) in REFUSED), other


@pytest.mark.parametrize("cls", CONSTRUCTORS, ids=lambda cls: cls.__name__)
def test_every_constructor_parameter_is_tested(cls: type) -> None:
    assert set(CONSTRUCTORS[cls]) == set(inspect.signature(cls).parameters)


def test_every_public_policy_is_tested() -> None:
    public = {getattr(policies, name) for name in policies.__all__}
    concrete = {each for each in public if inspect.isclass(each) and issubclass(each, BasePolicy)}
    assert concrete - {BasePolicy, policies.DiscretePolicy, policies.ValuePolicy} == set(CONSTRUCTORS)


BASE, NESTS, STATES = "test_policy_base.py", "test_policy_nests.py", "test_policy_states.py"
SPECS, UPDATING, NETWORK = "test_policy_specs.py", "test_policy_updating.py", "test_policy_network.py"
HELD_BY = {
    "BasePolicy.__init__.policy_state_spec": f"{BASE}::test_a_state_spec_that_does_not_hold_specs_is_refused",
    "BasePolicy.action.time_step": f"{NESTS}::test_a_time_step_that_does_not_match_is_refused",
    "BasePolicy.action.policy_state": f"{STATES}::test_a_state_is_carried_and_reset_where_an_episode_starts",
    "BasePolicy.action.seed": "test_policy_arguments.py::"
    "test_the_same_seed_gives_the_same_actions_eagerly_traced_and_compiled",
    "BasePolicy.distribution.time_step": f"{NESTS}::test_a_time_step_that_does_not_match_is_refused",
    "BasePolicy.distribution.policy_state": f"{NETWORK}::test_a_function_gets_step_type_and_state_and_its_state_is_returned",
    "BasePolicy.get_initial_state.batch_size": f"{STATES}::test_the_initial_state_is_zeros_with_and_without_a_batch",
    "BasePolicy.update.policy": f"{UPDATING}::test_a_copy_is_exact_and_acts_the_same",
    "BasePolicy.update.tau": f"{UPDATING}::test_an_update_moves_each_kind_of_variable_by_its_tau",
    "BasePolicy.update.tau_non_trainable": f"{UPDATING}::test_an_update_moves_each_kind_of_variable_by_its_tau",
    "BasePolicy.update.sort_variables_by_name": f"{UPDATING}::test_variables_are_paired_by_position_or_by_name",
    "CategoricalQPolicy.value_distribution.time_step": "test_categorical_q_policy.py::"
    "test_a_distribution_over_returns_is_checked_too",
    "QuantileQPolicy.value_distribution.time_step": "test_quantile_q_policy.py::test_a_distribution_over_returns_is_checked",
    "QuantileQPolicy.value_distribution.policy_state": "test_quantile_q_policy.py::"
    "test_a_distribution_over_returns_is_checked",
    "CategoricalQPolicy.value_distribution.policy_state": f"{STATES}::"
    "test_a_keras_model_with_a_state_remembers_its_own_episode_only",
    "BoundedTensorSpec.__init__.shape": f"{SPECS}::test_shape_and_dtype_of_a_spec_are_converted",
    "BoundedTensorSpec.__init__.dtype": f"{SPECS}::test_a_bound_that_is_not_a_value_of_the_dtype_is_refused",
    "BoundedTensorSpec.__init__.minimum": f"{SPECS}::test_bounds_may_be_given_for_each_element",
    "BoundedTensorSpec.__init__.maximum": f"{SPECS}::test_bounds_may_be_given_for_each_element",
    "BoundedTensorSpec.__init__.name": f"{SPECS}::test_specs_of_different_names_differ",
    "TimeStep.restart.observation": f"{SPECS}::test_restart_gives_first_steps_that_match_the_spec",
    "TimeStep.restart.batch_size": f"{SPECS}::test_restart_gives_first_steps_that_match_the_spec",
    "TimeStep.transition.observation": f"{SPECS}::test_time_steps_tell_their_place_in_the_episode",
    "TimeStep.transition.reward": f"{SPECS}::test_time_steps_tell_their_place_in_the_episode",
    "TimeStep.transition.discount": f"{SPECS}::test_the_discount_of_a_step_may_be_given",
    "TimeStep.termination.observation": f"{SPECS}::test_time_steps_tell_their_place_in_the_episode",
    "TimeStep.termination.reward": f"{SPECS}::test_time_steps_tell_their_place_in_the_episode",
    "TimeStep.truncation.observation": f"{SPECS}::test_time_steps_tell_their_place_in_the_episode",
    "TimeStep.truncation.reward": f"{SPECS}::test_time_steps_tell_their_place_in_the_episode",
    "TimeStep.truncation.discount": f"{SPECS}::test_the_discount_of_a_step_may_be_given",
    "Trajectory.from_transition.time_step": f"{SPECS}::test_a_trajectory_holds_the_outcome_of_its_step",
    "Trajectory.from_transition.policy_step": f"{SPECS}::test_a_trajectory_holds_the_outcome_of_its_step",
    "Trajectory.from_transition.next_time_step": f"{SPECS}::test_a_trajectory_holds_the_outcome_of_its_step",
    "time_step_spec.observation_spec": f"{BASE}::test_observations_may_be_nests_of_specs_bounded_or_not",
}
"""The test of each parameter that is not a constructor's above."""


def test_every_other_parameter_has_a_test() -> None:
    # Abstract classes take these from the constructors above.
    above = {name for values in CONSTRUCTORS.values() for name in values}
    policy_classes = {each.__name__ for cls in CONSTRUCTORS for each in inspect.getmro(cls)}
    inherited = {f"{cls}.__init__.{name}" for cls in policy_classes for name in above}
    assert parameters() - inherited == set(HELD_BY)
    assert set(HELD_BY.values()) <= test_names()
