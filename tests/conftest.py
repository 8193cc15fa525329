"""Puts this directory on the import path, for `tiny_envs` and `tiny_agents`, and gives the fixtures that need no more."""

from __future__ import annotations

import collections
import gc
import math
import sys
from collections.abc import Iterator
from typing import Any

import quiet_start  # noqa: F401  Before TensorFlow is imported.

# isort: split

import pytest
from tiny_agents import make_agent

from polyrl.estimators import Agent

gc.freeze()
gc.set_threshold(100_000, 50, 10)
"""Graphs are many small objects. The collector's own thresholds cost a fifth of the time of all tests."""

CALLED = tuple(f"tests/{folder}/" for folder in ("engine", "models", "ops", "phenomena", "policies", "replay"))
"""Where tests have a parameter `eager`, `function` or `xla`."""

FEWER = {
    "test_a_run_that_died_is_resumed_as_the_run_that_did_not": 3,
    "test_episodes_that_are_cut_off_tell_where_no_later_return_could_bring_theirs_back": 1,
    "test_large_rewards_that_cancel_in_an_episode_are_large": 1,
    "test_training_with_videos_is_the_training_without_them_also_if_recording_fails": 1,
    "test_a_recurrent_layer_over_one_state_is_refused": 1,
    "test_all_of_it_is_kept_under_another_name": 1,
    "test_states_go_in_and_what_the_model_predicts_comes_out": 2,
    "test_patterns_say_which_weights": 1,
    "test_the_layers_that_fit_are_told_and_can_be_taken": 1,
    "test_so_it_does_where_a_checkpoint_is_read": 1,
    "test_the_policy_acts_as_it_does": 1,
    "test_the_variables_of_any_graph_have_names": 1,
    "test_a_run_with_trained_weights_is_not_told_that_it_has_not_become_better": 1,
    "test_what_does_not_fit_is_refused": 2,
    "test_windows_depend_on_it": 1,
    "test_an_exploration_rate_that_is_not_finite_ends_the_run": 1,
    "test_the_sequences_that_can_be_sampled_are_the_whole_ones_at_each_stride": 2,
    "test_windows_of_several_steps_remember_what_they_saw": 1,
    "test_other_formats_answer_the_same": 1,
    "test_environments_in_the_graph_are_not_slowed_down_while_there_is_no_update": 1,
    "test_both_drivers_end_episodes_alike": 1,
    "test_wrong_actions_are_refused": 3,
    "test_it_is_tf_kerass_cell_step_by_step": 4,
    "test_rewards_are_scaled_then_clipped_before_anything_is_learned_from_them": 6,
    "test_episodes_are_whole_and_as_many_as_asked": 3,
    "test_windows_of_steps_are_reduced": 6,
    "test_the_scale_of_rewards": 1,
    "test_the_written_environment_by_itself": 1,
    "test_a_network_is_given_the_dtype_of_the_states_in_training_and_as_exported": 3,
    "test_an_environment_with_another_number_of_actions_is_refused": 2,
    "test_the_newest_one_that_is_whole_is_taken_and_nothing_is_removed": 5,
    "test_a_write_changes_its_tensor_and_nothing_else": 2,
    "test_every_shape_of_every_dtype_goes_through_a_compiled_call": 2,
    "test_continuous_train_and_eval_takes_turns_until_the_budget_is_reached": 2,
    "test_continuous_eval_ends_after_a_run_that_a_hook_ended": 1,
    "test_a_learning_rate_far_off_is_told_at_the_start": 1,
    "test_a_new_run_begins_with_the_weights": 1,
    "test_an_open_environment_does_not_serve_training_and_evaluation_at_once": 1,
    "test_loss_config_decides_the_loss": 4,
    "test_a_loss_of_another_shape_is_refused": 2,
    "test_neighbours_in_place_and_seed_are_independent": 2,
    "test_in_python_updates_are_those_of_a_naive_loop": 6,
    "test_in_the_graph_updates_are_those_of_a_naive_loop": 4,
    "test_the_first_update_may_come_with_the_first_step": 3,
    "test_agrees_with_the_plain_formula": 12,
    "test_an_update_learns_in_a_compiled_call": 6,
    "test_continuous_actions_are_uniform_over_the_range_until_its_end": 3,
    "test_a_torso_that_no_gradient_reaches_is_refused": 5,
    "test_each_whole_sequence_that_is_kept_is_drawn_equally_often": 5,
    "test_whatever_fails_inside_of_a_save_the_one_before_is_whole": 1,
    "test_a_boltzmann_policy_multiplies_the_temperatures": 2,
    "test_a_budget_of_environment_steps_ends_exactly": 3,
    "test_a_budget_of_episodes_ends_in_mid_chunk_with_the_iteration_that_reaches_it": 3,
    "test_a_budget_of_updates_is_never_exceeded": 2,
    "test_a_loop_gives_the_same": 3,
    "test_a_model_that_cannot_be_compiled_where_it_acts_trains_without_xla": 1,
    "test_a_number_that_somebody_has_edited_is_not_believed": 2,
    "test_a_scalar_tensor_is_the_same_seed_as_the_int": 2,
    "test_a_schedule_is_the_same_under_xla_at_each_border": 5,
    "test_a_stack_shifts_within_an_episode_and_starts_with_its_first_frame_repeated": 1,
    "test_a_state_is_acted_on_or_refused": 1,
    "test_a_thousand_steps_run_freely": 2,
    "test_a_torso_need_not_have_a_gradient_everywhere": 5,
    "test_a_trained_agent_and_its_predictor_act_by_the_weights": 1,
    "test_a_uniform_sample_holds_the_given_share_of_demonstrations": 2,
    "test_actions_rows_updates_and_episodes_are_those_of_a_naive_loop": 3,
    "test_all_modes_share_all_weights": 1,
    "test_all_whole_steps_are_saved_and_nothing_of_the_one_that_failed": 3,
    "test_an_absolute_budget_that_is_reached_already_does_nothing_and_does_not_fail": 4,
    "test_an_agent_that_refused_one_environment_takes_the_next": 3,
    "test_an_export_that_tensorflow_could_not_load_is_refused": 1,
    "test_an_exported_model_refuses_states_that_do_not_exist": 1,
    "test_an_observation_is_stored_as_it_is_or_refused": 2,
    "test_an_update_takes_what_numpy_clips_off_each_table_by_its_own_norm": 3,
    "test_another_configuration_is_refused": 2,
    "test_another_model_does_not_fit": 3,
    "test_batches_hold_only_transitions_whose_frames_are_all_stored": 2,
    "test_build_extra_ops_may_give_nothing": 1,
    "test_build_loss_decides_what_is_learned": 1,
    "test_deep_sea": 8,
    "test_each_checkpoint_alone_restores_every_variable": 3,
    "test_each_due_update_mixes_all_variables_of_two_networks_that_differ": 2,
    "test_each_option_alone_gives_its_tags_and_only_them": 6,
    "test_each_step_is_the_optimizers_own": 5,
    "test_every_shape_of_every_dtype_comes_back_bit_for_bit": 12,
    "test_from_a_directory_alone": 1,
    "test_incremental_budgets_count_from_where_the_run_stands": 3,
    "test_initial_weights_depend_on_no_global_random_state": 2,
    "test_it_has_neither_memory_nor_optimizer_and_shares_no_variable": 1,
    "test_layers_learn_as_on_plain_variables": 2,
    "test_leaves_are_drawn_in_proportion_to_their_values": 6,
    "test_masks_belong_to_the_state_and_to_the_bootstrap_state": 3,
    "test_memories_keep_numbers_as_they_were_done": 1,
    "test_nan_is_refused_with_its_rows": 30,
    "test_neither_stacks_nor_windows_cross_an_unseen_episode_start": 2,
    "test_networks_built_while_tracing_are_those_an_eager_call_finds": 2,
    "test_nobody_explores_in_eval_or_infer": 13,
    "test_one_that_was_named_is_said_to_be_gone": 3,
    "test_other_arguments_under_the_same_name_are_refused_with_the_difference": 12,
    "test_other_variables_in_some_mode_are_refused_in_every_mode_with_the_first_difference": 15,
    "test_outputs_and_gradients_are_those_of_a_dense_layer": 12,
    "test_random_programs_of_branches_and_loops_do_what_they_do_to_variables": 3,
    "test_rewards_without_an_end_are_told_though_no_return_is_known": 1,
    "test_rows_are_sampled_in_proportion_to_their_priorities": 4,
    "test_sampled_demonstrations_equal_the_recorded_ones": 4,
    "test_stacks_are_taken": 1,
    "test_states_of_other_parts_are_refused_and_no_file_is_called_damaged": 2,
    "test_the_actions_are_those_of_numpy": 6,
    "test_the_distribution_is_that_of_numpy_before_clipping": 3,
    "test_the_greedy_action_is_the_best_legal_one_in_each_mode": 4,
    "test_the_losses_are_those_of_the_reduced_transitions": 3,
    "test_the_memory_holds_every_part_of_both_states": 1,
    "test_the_next_one_takes_its_place": 1,
    "test_the_panels_are_those_of_the_first_update_of_an_iteration": 3,
    "test_the_policy_can_be_updated_from_another": 1,
    "test_the_rate_is_in_tensorboard_whatever_the_config_is": 1,
    "test_the_same_actions_eagerly_traced_and_compiled": 4,
    "test_the_same_seed_gives_the_same_actions_eagerly_traced_and_compiled": 6,
    "test_the_same_seed_gives_the_same_episodes": 1,
    "test_the_same_seed_gives_the_same_legal_actions_by_every_wrapper": 6,
    "test_the_same_seeds_give_the_same_games_and_other_seeds_do_not": 1,
    "test_the_torso_computes_as_the_policy_says_and_the_heads_in_float32": 3,
    "test_torsos_of_any_build_can_be_summarized": 6,
    "test_training_on_does_not_move_it": 1,
    "test_updates_are_counted_in_environment_steps": 8,
    "test_updates_end_exactly_also_in_the_middle_of_an_episode": 3,
    "test_what_a_terminal_state_holds_reaches_neither_loss_nor_weights": 2,
    "test_what_is_not_a_stack_is_refused": 1,
    "test_what_is_not_an_array_is_named_where_states_are_arrays": 1,
    "test_what_is_not_finite_in_an_environment_in_the_graph_ends_the_run": 1,
    "test_windows_equal_those_of_a_naive_loop": 4,
    "test_without_an_evaluation_there_is_no_best_one": 1,
}
"""Of tests with many cases, or with long ones: how many of these are in the default run, the first ones."""


@pytest.fixture
def agent(tmp_path):
    """Makes agents on one and the same `model_dir`; see `tiny_agents.make_agent` for the arguments."""

    def make(model_fn: Any = None, **arguments: Any) -> Agent:
        arguments.setdefault("model_dir", tmp_path / "run")
        return make_agent(model_fn, **arguments)

    return make


@pytest.fixture(autouse=True)
def no_flags_of_the_command() -> Iterator[None]:
    """Tests that need the command's flags start a process: whether others passed would depend on the order of the tests."""
    yield
    assert "polyrl.flags.command" not in sys.modules, "defines flags that programs define too: use a process of its own."


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the default run short: of models and memories each test runs with its first seed, the other seeds are slow tests.

    So are the kinds of model that have all of their parts from others: C51 with double Q-learning, and double DQN, but for the
    tests of losses and targets, which are quick; and C51 in the modes that do not learn, where it differs by its values alone.

    What is done eagerly, in a plain graph, and with XLA is a slow test in the plain graph, which lies between the two others.

    Of the tests in `FEWER` the first cases are in the default run.

    Other slow tests are marked where they stand: those of seconds each, if a quicker one in the default run covers the code
    beneath.
    """
    count: collections.Counter[str] = collections.Counter()
    for item in items:
        name = item.nodeid.partition("[")[0].rpartition("::")[2]
        if item.get_closest_marker("slow") is None:
            count[name] += 1
        if count[name] > FEWER.get(name, math.inf):
            item.add_marker(pytest.mark.slow)
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if item.nodeid.startswith(CALLED) and any(
            isinstance(value, str) and value == "function" for value in parameters.values()
        ):
            item.add_marker(pytest.mark.slow)
        if not item.nodeid.startswith(("tests/models/", "tests/replay/")):
            continue
        kind = next((parameters[name] for name in ("kind", "head_kind", "scalar_kind") if name in parameters), None)
        quick = item.path.stem in ("test_losses", "test_target_updates")
        repeats = (kind == "ddqn" and not quick) or (kind == "c51" and parameters.get("mode") in ("eval", "infer"))
        if parameters.get("seed", 0) != 0 or kind == "c51_double" or repeats:
            item.add_marker(pytest.mark.slow)
