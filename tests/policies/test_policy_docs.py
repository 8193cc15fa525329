"""docs/policies.md: its examples run, and its table has every word of the source's page, each of which has a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from policy_signatures import test_names

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "policies.md").read_text()
TABLE = re.findall(r"^\| ((?:argument|error|property|method) .+?|`\w+`: .+?) \| .+ \|$", PAGE, flags=re.MULTILINE)

VALUE, BASE, NESTS, MASKS = (f"test_policy_{name}.py::" for name in ("value", "base", "nests", "masks"))
STATES, UPDATING, NETWORK = (f"test_policy_{name}.py::" for name in ("states", "updating", "network"))
ATOMS, SPECS, SEEDS = "test_categorical_q_policy.py::", "test_policy_specs.py::", "test_policy_arguments.py::"
GIVEN = f"{BASE}test_a_categorical_policy_shows_what_it_was_given"
EMITS = f"{BASE}test_the_specs_of_a_recurrent_policy_that_emits_log_probabilities"
MATCHES = f"{BASE}test_what_an_action_returns_matches_its_specs"
STATE = f"{NETWORK}test_a_function_gets_step_type_and_state_and_its_state_is_returned"
CATEGORICAL = f"{VALUE}test_a_distribution_is_a_categorical_over_the_actions"
STEP = f"{NESTS}test_a_time_step_that_does_not_match_is_refused"
LOGITS = f"{BASE}test_a_subclass_that_gives_the_wrong_number_of_logits_is_refused"
BY_HAND = f"{ATOMS}test_the_expected_value_by_hand"
TAU = f"{UPDATING}test_an_update_moves_each_kind_of_variable_by_its_tau"
HELD_BY = {
    "argument `time_step_spec`": [GIVEN, f"{BASE}test_a_time_step_spec_that_does_not_hold_specs_is_refused"],
    "argument `action_spec`": [
        f"{VALUE}test_actions_have_the_dtype_of_the_spec",
        f"{VALUE}test_an_action_that_is_not_one_integer_from_zero_is_refused",
    ],
    "argument `q_network`": [
        f"{NETWORK}test_a_plain_keras_model_is_called_with_the_observation",
        f"{NETWORK}test_a_callable_gets_the_observation_and_the_step_type_of_the_time_step",
        f"{NETWORK}test_a_module_is_called_with_its_state",
        f"{STATES}test_a_keras_model_with_a_state_remembers_its_own_episode_only",
    ],
    "argument `min_q_value`": [BY_HAND, f"{ATOMS}test_a_support_that_is_not_finite_is_refused"],
    "argument `max_q_value`": [BY_HAND, f"{ATOMS}test_a_support_that_does_not_rise_is_refused"],
    "argument `observation_and_action_constraint_splitter`": [
        f"{MASKS}test_the_network_sees_only_what_the_splitter_leaves_of_the_observation",
        f"{MASKS}test_illegal_actions_have_no_probability_and_the_legal_ones_share_it",
    ],
    "argument `temperature`": [
        f"{VALUE}test_the_probabilities_are_the_softmax_of_the_values_over_the_temperature",
        f"{VALUE}test_at_and_near_temperature_zero_the_action_is_the_argmax",
    ],
    "error ValueError: no `num_atoms`": [f"{ATOMS}test_a_network_without_num_atoms_is_refused"],
    "error TypeError: `action_spec` not bounded": [f"{BASE}test_an_action_spec_that_is_not_bounded_is_refused"],
    "property `action_spec`": [GIVEN],
    "property `collect_data_spec`": [GIVEN],
    "property `emit_log_probability`": [EMITS],
    "property `info_spec`": [EMITS, f"{BASE}test_the_side_information_of_a_distribution_is_nan"],
    "property `observation_and_action_constraint_splitter`": [GIVEN],
    "property `policy_state_spec`": [GIVEN],
    "property `policy_step_spec`": [MATCHES],
    "property `time_step_spec`": [GIVEN],
    "property `trajectory_spec`": [MATCHES, f"{SPECS}test_a_trajectory_holds_the_outcome_of_its_step"],
    "property `validate_args`": [f"{NESTS}test_without_checks_a_mismatch_is_accepted"],
    "method `action`": [f"{VALUE}test_actions_come_as_often_as_they_are_probable"],
    "`action`: `time_step`": [STEP, f"{NESTS}test_arrays_of_the_right_dtype_are_accepted"],
    "`action`: `policy_state`": [
        f"{STATES}test_a_state_is_carried_and_reset_where_an_episode_starts",
        f"{STATES}test_without_a_state_the_initial_one_is_taken",
    ],
    "`action`: `seed`": [
        f"{SEEDS}test_the_same_seed_gives_the_same_actions_eagerly_traced_and_compiled",
        f"{SEEDS}test_a_scalar_tensor_is_the_same_seed_as_the_int",
    ],
    "`action`: returned `action`": [f"{VALUE}test_actions_have_the_dtype_of_the_spec"],
    "`action`: returned `state`": [STATE],
    "`action`: returned `info`": [f"{BASE}test_the_log_probability_is_that_of_the_distribution"],
    "`action`: RuntimeError": [f"{BASE}test_a_subclass_that_does_not_call_super_is_refused"],
    "`action`: ValueError, TypeError: `time_step_spec`": [
        STEP,
        f"{NESTS}test_all_differences_are_in_one_error",
        f"{NESTS}test_a_tuple_is_not_a_time_step",
        f"{NESTS}test_a_mismatch_is_refused_in_a_graph_too",
    ],
    "`action`: ValueError, TypeError: `policy_state_spec`": [
        f"{NESTS}test_a_state_that_does_not_match_is_refused",
        f"{NESTS}test_a_state_is_refused_where_there_is_none",
    ],
    "`action`: ValueError, TypeError: `policy_step_spec`": [
        f"{BASE}test_a_network_that_returns_another_state_than_its_spec_is_refused",
        LOGITS,
    ],
    "method `distribution`": [CATEGORICAL, f"{VALUE}test_the_probabilities_are_the_same_eagerly_and_traced"],
    "`distribution`: `time_step`": [STEP],
    "`distribution`: `policy_state`": [STATE],
    "`distribution`: returned `action`": [CATEGORICAL],
    "`distribution`: returned `state`": [STATE],
    "`distribution`: returned `info`": [f"{BASE}test_the_side_information_of_a_distribution_is_nan"],
    "`distribution`: ValueError, TypeError": [STEP, LOGITS],
    "method `get_initial_state`": [f"{STATES}test_the_initial_state_is_zeros_with_and_without_a_batch"],
    "`get_initial_state`: `batch_size`": [
        f"{STATES}test_the_initial_state_is_zeros_with_and_without_a_batch",
        f"{STATES}test_a_batch_size_that_is_not_a_number_of_rows_is_refused",
    ],
    "method `update`": [f"{UPDATING}test_a_copy_is_exact_and_acts_the_same"],
    "`update`: `policy`": [
        f"{UPDATING}test_variables_that_do_not_match_are_named",
        f"{UPDATING}test_every_variable_that_does_not_match_is_named",
    ],
    "`update`: `tau`": [
        TAU,
        f"{UPDATING}test_a_frozen_network_keeps_the_kinds_of_its_variables",
        f"{UPDATING}test_a_tau_outside_zero_to_one_is_refused",
    ],
    "`update`: `tau_non_trainable`": [TAU],
    "`update`: `sort_variables_by_name`": [
        f"{UPDATING}test_variables_are_paired_by_position_or_by_name",
        f"{UPDATING}test_layers_numbered_by_keras_are_paired_by_their_number",
    ],
    "`update`: returned op": [f"{UPDATING}test_an_update_returns_the_number_of_variables_after_assigning_them"],
}
"""Every word of the source's page, and the tests that hold it."""


def test_the_table_has_every_word_of_the_source_and_each_once() -> None:
    assert sorted(TABLE) == sorted(HELD_BY)


def test_every_word_of_the_source_has_a_test() -> None:
    assert {name for names in HELD_BY.values() for name in names} <= test_names()
    assert all(HELD_BY.values())


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    discrete, loaded, continuous, *_ = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    variables: dict = {}
    exec(discrete, variables)
    assert variables["probabilities"].shape == (1, 2, 51)
    exec(loaded, elsewhere := {})
    assert elsewhere["act"].structured_outputs["action"].dtype == variables["policy"].action_spec.dtype
    exec(continuous, variables := {})
    assert variables["choice"].action.shape == (1, 1)
    assert abs(variables["choice"].action.numpy()).max() <= 2.0
