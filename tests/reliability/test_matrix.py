"""What a run must withstand, row by row, and which tests hold each row: none of them may vanish.

A file alone stands for all of its tests. Most rows have quick tests; whole processes, kills and long runs are slow ones.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

MATRIX: dict[str, list[str]] = {
    "exact resume: weights, slots, replay, random numbers, counters, TensorBoard": [
        "reliability/test_exact_resume.py",
        "reliability/test_random_layers.py",
        "models/test_pqn.py::test_a_run_that_is_resumed_is_the_run_that_was_not_interrupted",
        "phenomena/test_resume.py",
        "estimators/test_events.py",
    ],
    "kill -9 at random moments, also inside of a save": [
        "reliability/test_kills.py",
        "reliability/test_signals_at_any_time.py::test_at_a_random_moment",
    ],
    "an error at each operation of a save": [
        "reliability/test_full_disk.py::test_whatever_fails_inside_of_a_save_the_one_before_is_whole",
        "estimators/test_damaged_checkpoints.py::test_what_was_about_to_be_replaced_is_put_back",
    ],
    "the directory is moved or removed; checkpoints are in the wrong place": ["estimators/test_places.py"],
    "what is not promised is said at the start": ["estimators/test_promises.py"],
    "what came after the checkpoint changes nothing, what is gone is named": ["estimators/test_later_than_the_checkpoint.py"],
    "noisy networks: one sample for each forward pass, none in evaluation": [
        "networks/test_noisy_dense.py",
        "models/test_family_parts.py::test_only_training_draws",
        "models/test_family_parts.py::test_each_role_of_an_update_draws_its_own_numbers_and_each_update_others",
    ],
    "the newest checkpoint is damaged, or all are": [
        "estimators/test_damaged_checkpoints.py",
        "estimators/test_saved_memories.py::test_a_damaged_shard_is_found_in_each_checkpoint_that_holds_it",
    ],
    "the disk is full or read-only": [
        "reliability/test_full_disk.py",
        "estimators/test_events.py::test_a_full_disk_is_told_and_the_run_continues",
    ],
    "signals": ["estimators/test_signals.py", "reliability/test_signals_at_any_time.py"],
    "a resumed run keeps the best score, the schedules and the axis of TensorBoard": [
        "estimators/hooks/test_evaluation.py::test_a_worse_evaluation_in_a_resumed_run_does_not_replace_the_best",
        "estimators/hooks/test_evaluation.py::test_a_resumed_run_keeps_the_rhythm_of_evaluations",
        "estimators/test_events.py::test_the_last_point_stands_once",
    ],
    "another configuration is refused with the difference": [
        "estimators/test_same_configuration.py",
        "estimators/test_resuming.py",
    ],
    "losses against oracles, of online and target networks that differ": [
        "ops/test_value.py::test_q_learning_equals_trfl",
        "ops/test_value.py::test_double_q_learning_equals_a_loop_over_rows",
        "models/test_losses.py::test_the_loss_is_the_textbook_one_of_two_different_networks",
    ],
    "gradients against finite differences, and none into a target": [
        "ops/test_value.py::test_the_gradient_into_q_is_that_of_finite_differences",
        "ops/test_value.py::test_no_gradient_flows_into_the_target_side_of_double_q_learning",
    ],
    "updates of the target network": ["models/test_target_updates.py", "ops/test_targets.py"],
    "truncation keeps its bootstrap, termination does not": [
        "phenomena/test_learning.py::test_values_reach_beyond_a_truncation_but_not_beyond_a_termination",
        "models/test_losses.py::test_done_rows_do_not_bootstrap_and_truncated_rows_do",
    ],
    "no transition spans two episodes": [
        "envs/test_driver.py::test_no_transition_spans_two_episodes",
        "envs/compiled/test_both_drivers.py::test_both_drivers_end_episodes_alike",
        "envs/test_same_step.py",
    ],
    "n-step returns": ["ops/test_returns.py", "replay/test_n_step_windows.py::test_windows_equal_those_of_a_naive_loop"],
    "prioritized replay": ["replay/test_prioritized.py", "replay/test_sum_tree.py"],
    "C51's projection": ["ops/test_categorical.py"],
    "NAF": ["ops/test_naf_ops.py", "phenomena/test_continuous_actions.py::test_naf_learns_the_best_action_of_each_state"],
    "exploration: a coin for each environment, ties, absolute schedules": [
        "ops/test_exploration.py::test_rows_explore_independently",
        "ops/test_exploration.py::test_of_equal_best_values_each_is_as_likely",
        "explorations/test_explorers.py",
    ],
    "the same seed is the same run, another seed another one": [
        "phenomena/test_resume.py::test_the_same_seed_gives_the_same_run_bit_for_bit",
        "phenomena/test_resume.py::test_another_seed_gives_other_weights_environments_and_actions",
        "models/test_scope.py::test_initial_weights_depend_on_no_global_random_state",
    ],
    "NaN and infinity": ["estimators/hooks/test_guards.py", "policies/test_policy_nan.py"],
    "environments that break their contract": ["envs/test_contract.py", "envs/test_checking.py"],
    "environments that raise, exit, are killed or hang": [
        "reliability/test_environment_faults.py",
        "envs/test_processes.py",
        "estimators/test_rescue.py",
    ],
    "200,000 steps leave nothing behind": ["reliability/test_soak.py", "phenomena/test_many_agents.py"],
    "evaluations change nothing of the training": [
        "phenomena/test_hooks_change_nothing.py",
        "estimators/test_predictor.py::test_training_on_does_not_move_it",
    ],
    "agents learn": ["phenomena/test_learning.py", "phenomena/test_control_is_learned.py"],
    "the tests notice mistakes in the mathematics": ["reliability/test_mutations.py"],
    "the command line, its flags and tags": [
        "experiments/test_cli.py",
        "flags/test_flags.py",
        "test_tensorboard_tags.py",
    ],
    "the package by itself": ["test_packaging.py"],
    "exports act the same in another process": [
        "policies/test_policy_export.py::test_a_saved_policy_acts_the_same_in_a_process_with_tensorflow_alone",
        "test_readme.py::test_what_is_exported_acts_the_same_with_tensorflow_alone",
    ],
    "one run at a time in a directory": ["estimators/test_claims.py"],
    "the examples of the documentation run": [
        "test_readme.py",
        "envs/test_environments_doc.py",
        "test_observations_doc.py",
        "test_errors_doc.py",
    ],
}


@functools.cache
def names_in(file: Path) -> list[str]:
    nodes = ast.parse(file.read_text()).body
    return [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


@pytest.mark.parametrize("row", MATRIX)
def test_a_row_has_its_tests(row):
    for entry in MATRIX[row]:
        file, _, name = entry.partition("::")
        names = names_in(TESTS / file)
        assert names
        assert name in ("", *names), entry
