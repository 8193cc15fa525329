"""Nothing accepted is ignored: every parameter of the public policy classes changes what can be seen, or is refused."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from policy_signatures import parameters, test_names
from policy_testing import ACTION, ATOMS, MASK, ROWS, SPEC, Logits, atoms_model, categorical, q_model, steps

from polyrl import policies
from polyrl.policies import (
    BasePolicy,
    BoltzmannPolicy,
    BoundedTensorSpec,
    CategoricalQPolicy,
    EpsilonGreedyPolicy,
    GreedyPolicy,
    QPolicy,
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
    # Of each parameter a value, and another that must be seen from outside.
    CategoricalQPolicy: {
        **COMMON,
        "q_network": (atoms_model(0), atoms_model(1)),
        "min_q_value": (-2.0, -20.0),
        "max_q_value": (2.0, 20.0),
        "temperature": (1.0, 0.5),
        "risk_level": (1.0, 0.1),
    },
    QPolicy: {**COMMON, "q_network": (q_model(0), q_model(1)), "temperature": (1.0, 0.5)},
    RandomPolicy: COMMON,
    GreedyPolicy: WRAPPED,
    EpsilonGreedyPolicy: {**WRAPPED, "epsilon": (0.5, 0.1)},
    BoltzmannPolicy: {**WRAPPED, "temperature": (1.0, 0.5)},
}


def seen(policy: BasePolicy) -> list[Any]:
    """What a user can see of a policy."""
    step, wrong = steps(), steps()._replace(discount=tf.ones([ROWS], tf.float64))
    chosen = policy.action(step, seed=0)
    try:
        policy.action(wrong)
        refuses = False
    except ValueError:
        refuses = True
    found = policy.distribution(step)
    specs = [policy.trajectory_spec, policy.policy_step_spec, policy.time_step_spec]
    return [policy.name, repr(specs), repr(chosen.info), refuses, found.action.probs_parameter().numpy().tolist()]


CASES = [(cls, name) for cls, values in CONSTRUCTORS.items() for name in values]


@pytest.mark.parametrize(("cls", "name"), CASES, ids=[f"{cls.__name__}-{name}" for cls, name in CASES])
def test_every_constructor_parameter_changes_what_is_seen(cls: type, name: str) -> None:
    usual = {key: values[0] for key, values in CONSTRUCTORS[cls].items()}
    first, again = cls(**usual), cls(**usual)
    assert seen(first) == seen(again), "the test itself sees differences where there are none"
    assert seen(cls(**{**usual, name: CONSTRUCTORS[cls][name][1]})) != seen(first)


@pytest.mark.parametrize("cls", CONSTRUCTORS, ids=lambda cls: cls.__name__)
def test_every_constructor_parameter_is_looked_at(cls: type) -> None:
    assert set(CONSTRUCTORS[cls]) == set(inspect.signature(cls).parameters)


def test_every_public_policy_is_looked_at() -> None:
    public = {getattr(policies, name) for name in policies.__all__}
    concrete = {each for each in public if inspect.isclass(each) and issubclass(each, BasePolicy)}
    assert concrete - {BasePolicy, policies.ValuePolicy} == set(CONSTRUCTORS)


CHECKS, SPECS, STATES = "test_policy_checks.py", "test_policy_specs.py", "test_policy_states.py"
UPDATES, RETURNS, OLD = "test_policy_updates.py", "test_policy_returns.py", "test_policies.py"
HELD_BY = {
    "BasePolicy.__init__.policy_state_spec": f"{CHECKS}::test_a_state_spec_of_something_else_than_specs_is_refused",
    "BasePolicy.action.time_step": f"{CHECKS}::test_a_time_step_that_does_not_match_is_refused",
    "BasePolicy.action.policy_state": f"{STATES}::test_a_state_is_carried_and_begins_anew_where_an_episode_does",
    "BasePolicy.action.seed": f"{OLD}::test_the_same_seed_gives_the_same_actions_eagerly_traced_and_compiled",
    "BasePolicy.distribution.time_step": f"{CHECKS}::test_a_time_step_that_does_not_match_is_refused",
    "BasePolicy.distribution.policy_state": f"{OLD}::test_a_callable_gets_step_type_and_state_and_its_state_comes_back",
    "BasePolicy.get_initial_state.batch_size": f"{STATES}::test_the_initial_state_is_zeros_with_and_without_a_batch",
    "BasePolicy.update.policy": f"{UPDATES}::test_a_copy_is_exact_and_acts_alike",
    "BasePolicy.update.tau": f"{UPDATES}::test_an_update_moves_each_kind_of_variable_by_its_tau",
    "BasePolicy.update.tau_non_trainable": f"{UPDATES}::test_an_update_moves_each_kind_of_variable_by_its_tau",
    "BasePolicy.update.sort_variables_by_name": f"{UPDATES}::test_variables_pair_by_position_or_by_name",
    "CategoricalQPolicy.value_distribution.time_step": f"{RETURNS}::test_a_distribution_over_returns_is_checked_too",
    "CategoricalQPolicy.value_distribution.policy_state": f"{STATES}::"
    "test_a_keras_model_with_a_state_remembers_its_episode_and_no_other",
    "BoundedTensorSpec.__init__.shape": f"{OLD}::test_a_bounded_spec_turns_what_it_is_given_into_shape_and_dtype",
    "BoundedTensorSpec.__init__.dtype": f"{SPECS}::test_a_bound_that_is_no_value_of_the_dtype_is_refused",
    "BoundedTensorSpec.__init__.minimum": f"{SPECS}::test_bounds_may_be_given_for_each_element",
    "BoundedTensorSpec.__init__.maximum": f"{SPECS}::test_bounds_may_be_given_for_each_element",
    "BoundedTensorSpec.__init__.name": f"{SPECS}::test_specs_of_different_names_differ",
    "TimeStep.restart.observation": f"{OLD}::test_restart_gives_first_steps_that_match_the_spec",
    "TimeStep.restart.batch_size": f"{OLD}::test_restart_gives_first_steps_that_match_the_spec",
    "TimeStep.transition.observation": f"{SPECS}::test_time_steps_say_where_they_lie",
    "TimeStep.transition.reward": f"{SPECS}::test_time_steps_say_where_they_lie",
    "TimeStep.transition.discount": f"{SPECS}::test_a_step_may_have_a_discount_of_its_own",
    "TimeStep.termination.observation": f"{SPECS}::test_time_steps_say_where_they_lie",
    "TimeStep.termination.reward": f"{SPECS}::test_time_steps_say_where_they_lie",
    "TimeStep.truncation.observation": f"{SPECS}::test_time_steps_say_where_they_lie",
    "TimeStep.truncation.reward": f"{SPECS}::test_time_steps_say_where_they_lie",
    "TimeStep.truncation.discount": f"{SPECS}::test_a_step_may_have_a_discount_of_its_own",
    "Trajectory.from_transition.time_step": f"{SPECS}::test_a_trajectory_has_the_outcome_of_its_step",
    "Trajectory.from_transition.policy_step": f"{SPECS}::test_a_trajectory_has_the_outcome_of_its_step",
    "Trajectory.from_transition.next_time_step": f"{SPECS}::test_a_trajectory_has_the_outcome_of_its_step",
    "time_step_spec.observation_spec": f"{SPECS}::test_observations_may_be_nests_of_specs_bounded_or_not",
}
"""What is not a parameter of a constructor above, and the test that sees its effect."""


def test_every_other_parameter_has_a_test_that_sees_its_effect() -> None:
    # Abstract classes hand these on from the constructors above.
    above = {name for values in CONSTRUCTORS.values() for name in values}
    policy_classes = {each.__name__ for cls in CONSTRUCTORS for each in inspect.getmro(cls)}
    handed_on = {f"{cls}.__init__.{name}" for cls in policy_classes for name in above}
    assert parameters() - handed_on == set(HELD_BY)
    assert set(HELD_BY.values()) <= test_names()
