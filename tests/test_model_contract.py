"""Nothing a Q model accepts is ignored: every argument and method is in docs/models.md, and has a test of what it does."""

from __future__ import annotations

import functools
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from polyrl.configs import AdamConfig, HuberLossConfig
from polyrl.models import (
    BaseQModel,
    CategoricalDQNModel,
    DDQNModel,
    DQNModel,
    ExpectedSarsaModel,
    IQNModel,
    MunchausenDQNModel,
    MunchausenIQNModel,
    NAFModel,
    PQNModel,
    QModelSpec,
    QRDQNModel,
    RainbowModel,
)
from polyrl.networks import mlp

FAMILY = [
    BaseQModel,
    DQNModel,
    DDQNModel,
    CategoricalDQNModel,
    QRDQNModel,
    IQNModel,
    MunchausenDQNModel,
    MunchausenIQNModel,
    RainbowModel,
    ExpectedSarsaModel,
    PQNModel,
    NAFModel,
]
ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "models.md").read_text()
SIGNATURE = {
    "mode": inspect.Parameter.empty,
    "graph_fn": inspect.Parameter.empty,
    "num_states": inspect.Parameter.empty,
    "num_actions": inspect.Parameter.empty,
    "loss_config": None,
    "optimizer_config": None,
    "eval_metrics_config": None,
    "discount": 0.97,
    "exploration_config": None,
    "use_target_graph": True,
    "target_update_frequency": 5,
    "is_continuous": False,
    "dueling": "mean",
    "use_expert_demo": False,
    "summaries": "all",
    "clip_gradients": 0.5,
    "clip_embed_gradients": 0.1,
    "name": "Model",
}
"""The original's, in its order."""
METHODS = (
    "_build_exploration",
    "_build_actions",
    "_build_graph_fn",
    "_call_graph_fn",
    "_build_update_target_graph",
    "_build_train_op",
    "_preprocess",
)


TABLE = """
mode | test_predictions_have_the_documented_keys_and_shapes
mode | test_an_unknown_mode_is_refused_with_the_modes_there_are
graph_fn | test_graph_fn_is_called_by_position_once_for_each_network_and_mode_that_it_is_used_in
graph_fn | test_a_torso_that_gives_no_rows_of_features_is_refused_with_its_shape
graph_fn | test_the_mode_is_the_models
graph_fn | test_other_variables_in_some_mode_are_refused_in_every_mode_with_the_first_difference
num_states | test_a_state_that_does_not_fit_is_refused_with_both_shapes
num_states | test_a_state_that_is_a_number_fits_the_number_of_states_and_the_shape_of_a_scalar
num_states | test_images_stay_bytes_in_the_memory_and_in_what_the_model_gets
num_actions | test_predictions_have_the_documented_keys_and_shapes
num_actions | test_an_environment_with_another_number_of_actions_is_refused
loss_config | test_loss_config_decides_the_loss
loss_config | test_the_default_loss_is_huber_with_delta_one
loss_config | test_c51_refuses_a_loss_config
optimizer_config | test_a_model_learns_as_with_each_plain_optimizer
optimizer_config | test_the_learning_rate_shown_is_the_schedules_at_this_update
optimizer_config | test_the_defaults_are_those_of_the_page
eval_metrics_config | test_a_metric_over_two_batches_is_that_of_numpy_over_all_rows
eval_metrics_config | test_an_evaluation_reports_returns_and_metrics_and_writes_them_to_tensorboard
discount | test_the_discount_is_the_models_where_no_label_gives_it
discount | test_the_losses_are_those_of_the_reduced_transitions
exploration_config | test_each_config_has_the_explorer_of_its_kind_of_actions
exploration_config | test_a_config_of_the_other_kind_is_refused_with_those_that_would_do
exploration_config | test_nobody_explores_in_eval_or_infer
exploration_config | test_the_rate_is_reported_whatever_the_config_is
exploration_config | test_the_rate_is_in_tensorboard_whatever_the_config_is
use_target_graph | test_without_a_target_graph_the_online_network_bootstraps
use_target_graph | test_no_gradient_flows_through_the_bootstrap
use_target_graph | test_one_update_changes_the_online_weights_and_not_the_target_ones
target_update_frequency | test_the_target_is_the_online_network_at_the_start_and_after_each_period_only
target_update_frequency | test_the_period_goes_by_the_count_of_all_updates_not_of_those_since_the_start
target_update_frequency | test_each_counts_its_own_updates_whatever_the_other_does
is_continuous | test_a_wrong_argument_is_refused_by_name
is_continuous | test_a_model_of_discrete_actions_refuses_to_be_continuous
is_continuous | test_an_environment_that_takes_other_actions_is_refused_before_anything_is_written
dueling | test_dueling_combines_the_heads_as_documented
dueling | test_dueling_equals_a_loop_over_rows_actions_and_atoms
use_expert_demo | test_the_term_is_added_to_demonstrations_and_to_no_other_row
use_expert_demo | test_learning_without_the_label_is_an_error_that_says_what_to_do
use_expert_demo | test_one_demonstration_teaches_what_chance_does_not_find
summaries | test_each_option_alone_gives_its_tags_and_only_them
summaries | test_each_group_alone_gives_its_panels_and_only_them
clip_gradients | test_clip_gradients_bounds_the_norm_of_all_gradients_and_keeps_their_direction
clip_gradients | test_zero_and_none_do_not_clip
clip_gradients | test_gradients_are_shown_without_clipping_too
clip_embed_gradients | test_an_update_takes_what_numpy_clips_off_each_table_by_its_own_norm
clip_embed_gradients | test_clipping_is_that_of_numpy
clip_embed_gradients | test_zero_and_none_do_not_clip_embeddings
name | test_both_learn_and_one_checkpoint_brings_both_back_bit_for_bit
name | test_no_variable_is_shared
name | test_their_tags_are_apart
name | test_other_arguments_under_the_same_name_are_refused_with_the_difference
temperature | test_a_temperature_draws_from_the_tempered_values
temperature | test_a_temperature_is_the_business_of_infer_alone
temperature | test_a_temperature_draws_normal_actions_of_its_covariance
target_update_tau | test_each_due_update_mixes_all_variables_of_two_networks_that_differ
target_update_tau | test_soft_updates_in_compiled_calls_are_those_by_hand
target_update_tau | test_soft_updates_resume_from_a_checkpoint_bit_for_bit
expert_margin | test_the_term_is_added_to_demonstrations_and_to_no_other_row
expert_weight | test_the_term_is_added_to_demonstrations_and_to_no_other_row
num_atoms | test_c51_values_are_the_expectations_of_its_probabilities
num_atoms | test_c51_refuses_a_support_that_is_none
min_q_value | test_c51_values_are_the_expectations_of_its_probabilities
min_q_value | test_c51_refuses_a_support_that_is_none
max_q_value | test_c51_values_are_the_expectations_of_its_probabilities
max_q_value | test_c51_refuses_a_support_that_is_none
double | test_the_double_kinds_choose_by_the_online_network_and_value_by_the_target
double | test_the_loss_is_the_papers_of_two_different_networks
double | test_what_has_no_effect_is_refused
noisy | test_only_training_draws
noisy | test_each_role_of_an_update_draws_its_own_numbers_and_each_update_others
head_units | test_each_stream_of_a_head_has_its_hidden_layers
head_initializer | test_heads_have_the_initializer_of_the_model
reward_scale | test_rewards_are_scaled_then_clipped_before_anything_is_learned_from_them
clip_rewards | test_rewards_are_scaled_then_clipped_before_anything_is_learned_from_them
num_quantiles | test_the_loss_is_the_papers_of_two_different_networks
kappa | test_the_loss_is_the_papers_of_two_different_networks
num_samples | test_iqn_draws_as_many_fractions_as_its_arguments_say
num_policy_samples | test_iqn_draws_as_many_fractions_as_its_arguments_say
num_cosines | test_iqn_computes_equation_4
trace_decay | test_the_loss_is_that_of_the_lambda_returns
entropy_temperature | test_the_loss_is_the_papers_of_two_different_networks
munchausen_scale | test_the_loss_is_the_papers_of_two_different_networks
log_policy_minimum | test_the_loss_is_the_papers_of_two_different_networks
action_low | test_the_mean_keeps_to_the_bounds_of_each_dimension
action_low | test_with_labels_the_value_is_that_of_their_action
action_high | test_the_mean_keeps_to_the_bounds_of_each_dimension
action_high | test_actions_stay_within_the_range_and_come_to_its_ends
__call__ | test_predictions_have_the_documented_keys_and_shapes
_build_exploration | test_exploration_is_a_function_of_the_environment_steps
_build_exploration | test_each_method_of_the_page_is_one_that_the_template_calls
_build_exploration | test_build_exploration_decides_how_much_is_explored
_build_actions | test_nobody_explores_in_eval_or_infer
_build_actions | test_infer_acts_by_what_the_policy_of_its_kind_chooses
_build_actions | test_build_actions_decides_the_action_in_each_mode
_build_graph_fn | test_the_graph_function_gives_a_q_model_spec
_build_graph_fn | test_build_graph_fn_is_the_whole_network
_build_graph_fn | test_a_graph_that_gives_no_q_model_spec_is_a_type_error
_call_graph_fn | test_a_two_layer_network_gives_what_its_weights_say
_call_graph_fn | test_call_graph_fn_returns_the_actions
_call_graph_fn | test_call_graph_fn_alone_creates_the_networks_and_returns_actions
_build_update_target_graph | test_several_updates_within_one_compiled_call_keep_the_period
_build_update_target_graph | test_build_update_target_graph_is_what_happens_to_the_target_network
_build_train_op | test_train_op_applies_the_gradient_of_the_loss
_build_train_op | test_a_period_of_one_copies_the_updated_weights_not_those_before
_build_train_op | test_build_train_op_may_have_gradients_and_steps_of_its_own
_preprocess | test_features_without_a_state_are_a_key_error
_preprocess | test_a_missing_label_is_a_key_error
_preprocess | test_preprocess_may_leave_features_and_labels_as_they_are
_build_loss | test_build_loss_decides_what_is_learned
_build_td_loss | test_a_td_loss_alone_is_a_new_algorithm
_build_eval_metrics | test_build_eval_metrics_gives_what_an_evaluation_reports
_build_summary_op | test_build_summary_op_gives_the_panels
_build_predictions | test_build_predictions_gives_what_predict_yields
_build_extra_ops | test_build_extra_ops_may_give_nothing
current_call | test_there_is_no_current_call_outside_of_a_call
current_call | test_the_current_call_has_what_has_been_computed_so_far
dropout and batch normalisation act in the update alone | test_dropout_acts_in_the_update_and_nowhere_else
dropout and batch normalisation act in the update alone | test_dropout_acts_in_the_update_and_not_in_the_bootstrap
dropout and batch normalisation act in the update alone | test_batch_normalisation_moves_by_the_states_of_updates_alone
dropout and batch normalisation act in the update alone | test_actions_in_a_compiled_run_are_those_of_inference_mode
regularisation losses enter the loss once | test_regularisation_enters_the_training_loss_once_and_no_other
regularisation losses enter the loss once | test_regularisation_is_in_the_loss_and_in_the_gradient_once
discrete states, from a `Discrete` space to `Agent.act` | test_a_table_learns_the_values_of_a_chain_of_numbered_states
discrete states, from a `Discrete` space to `Agent.act` | test_the_lake_that_is_not_slippery_is_learnt_to_the_optimum
"""
"""What an argument or a method does, or a promise, and a test that shows it, by name."""

HELD_BY: dict[str, list[str]] = {}
for _line in TABLE.strip().splitlines():
    _name, _test = _line.split(" | ")
    HELD_BY.setdefault(_name, []).append(_test)


def parameters(model_class: type) -> set[str]:
    """All that the constructor takes, those that it hands on to its parents' included."""
    names: set[str] = set()
    for each in model_class.__mro__:
        if "__init__" in vars(each):
            given = list(inspect.signature(each.__init__).parameters.values())[1:]
            names |= {p.name for p in given if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
            if not any(p.kind == p.VAR_KEYWORD for p in given):
                return names
    return names


@functools.cache
def all_tests() -> dict[str, str]:
    """The sources of the files that hold a test, by the test's name."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        source = path.read_text()
        for name in re.findall(r"^def (test_\w+)\(", source, flags=re.MULTILINE):
            found[name] = found.get(name, "") + source
    return found


def documented() -> set[str]:
    """What stands in the first column of the page's tables: arguments, and methods without their signatures."""
    return set(re.findall(r"^\| `(\w+)(?:\(.*?\))?` \|", PAGE, flags=re.MULTILINE))


def methods(model_class: type) -> set[str]:
    """The steps of the template, and what a Q model adds to them."""
    parts = {"_build_head", "_build_policy"}  # Of `_build_graph_fn` and `_build_actions`.
    return {n for n in dir(model_class) if n.startswith("_build_") or n in ("_call_graph_fn", "_preprocess")} - parts


@pytest.mark.parametrize("model_class", FAMILY)
def test_every_argument_and_method_is_documented_and_has_a_test(model_class):
    names = parameters(model_class) | methods(model_class) | {"current_call"}
    untested = names - set(HELD_BY)
    assert not untested, f"{model_class.__name__}: write a test of {sorted(untested)}, and put it into TABLE."
    undocumented = names - documented() - {"current_call"}
    assert not undocumented, f"{model_class.__name__}: add {sorted(undocumented)} to the tables of docs/models.md."
    assert "`current_call`" in PAGE


def test_an_argument_or_a_method_that_is_not_listed_is_found():
    class Longer(CategoricalDQNModel):
        def __init__(self, *args, sharpness=1.0, **kwargs):
            super().__init__(*args, **kwargs)

        def _build_sharpness(self):
            return 1.0

    assert parameters(Longer) - set(HELD_BY) == parameters(Longer) - documented() == {"sharpness"}
    assert methods(Longer) - set(HELD_BY) == methods(Longer) - documented() == {"_build_sharpness"}


def test_the_page_lists_nothing_that_does_not_exist():
    arguments = {name for name in documented() if not name.startswith("_")}
    assert arguments == set().union(*map(parameters, FAMILY))
    assert documented() - arguments == methods(BaseQModel) | {"__call__"}


def test_the_page_is_for_readers_and_lists_no_tests():
    assert not re.findall(r"test_\w+", PAGE)


@pytest.mark.parametrize("name", HELD_BY)
def test_the_tests_exist_and_are_about_it(name):
    assert HELD_BY[name]
    missing = [test for test in HELD_BY[name] if test not in all_tests()]
    assert not missing, f"There is no test called {missing}."
    if re.fullmatch(r"\w+", name) and name != "__call__":
        files = " ".join(all_tests()[test] for test in HELD_BY[name])
        assert re.search(rf"\b{name}\b", files), f"None of the files of {HELD_BY[name]} speaks of {name}."


def test_the_signature_is_the_originals():
    given = inspect.signature(BaseQModel).parameters
    positional = {name: p.default for name, p in given.items() if p.kind == p.POSITIONAL_OR_KEYWORD}
    assert list(positional.items()) == list(SIGNATURE.items())
    assert all(p.kind == p.KEYWORD_ONLY for name, p in given.items() if name not in SIGNATURE)
    shown = re.search(r"BaseQModel\((.*?)\)\n", PAGE, flags=re.DOTALL)
    assert shown is not None
    defaults = {name: value for name, value in SIGNATURE.items() if value is not inspect.Parameter.empty}
    words = ["mode", "graph_fn", "num_states", "num_actions", *(f"{name}={value!r}" for name, value in defaults.items())]
    assert re.sub(r"\s+", " ", shown[1]) == ", ".join(words)


def test_the_defaults_are_those_of_the_page():
    model = DQNModel("train", mlp([4]), 3, 2)
    assert (model.optimizer_config, model.loss_config) == (AdamConfig(), HuberLossConfig(delta=1.0))
    assert model.eval_metrics_config == ()


def batch():
    rng = np.random.default_rng(0)
    state, next_state = rng.normal(size=[2, 5, 3]).astype(np.float32)
    labels = {"action": rng.integers(0, 2, 5), "reward": rng.normal(size=5), "done": np.zeros(5), "next_state": next_state}
    return {"state": state}, labels


@pytest.mark.parametrize("model_class", [DQNModel, DDQNModel, CategoricalDQNModel])
def test_each_method_of_the_page_is_one_that_the_template_calls(model_class, monkeypatch):
    assert set(METHODS) < documented()
    called = []
    for name in METHODS:
        original = getattr(model_class, name)

        def noted(self, *arguments, _name=name, _original=original):
            called.append(_name)
            return _original(self, *arguments)

        monkeypatch.setattr(model_class, name, noted)
    features, labels = batch()
    model = model_class("train", mlp([4]), 3, 2, target_update_frequency=1)
    model(features)
    assert set(called) == {"_preprocess", "_call_graph_fn", "_build_graph_fn", "_build_actions", "_build_exploration"}
    model(features, labels).train_op()
    assert set(called) == set(METHODS)


def test_the_graph_function_gives_a_q_model_spec():
    """Torso, then heads, then their combination: `Q = V + A - mean(A)`."""
    model = DQNModel("train", lambda mode, inputs: 2.0 * inputs["state"], 3, 2)
    spec = model._build_graph_fn()("train", {"state": tf.ones([5, 3])})
    assert isinstance(spec, QModelSpec)
    assert spec._fields[:4] == ("graph_outputs", "a", "v", "q")
    np.testing.assert_array_equal(spec.graph_outputs, np.full([5, 3], 2.0))
    assert (spec.a.shape, spec.v.shape, spec.q.shape) == ((5, 2), (5, 1), (5, 2))
    np.testing.assert_allclose(spec.q, spec.v + spec.a - tf.reduce_mean(spec.a, axis=1, keepdims=True), rtol=1e-6)
