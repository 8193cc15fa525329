"""Puts this directory on the import path, for `tiny_envs` and `tiny_agents`, and gives the fixtures that need no more."""

from __future__ import annotations

from typing import Any

from polyrl.estimators import Agent

import pytest
from tiny_agents import make_agent


@pytest.fixture
def agent(tmp_path):
    """Makes agents on one and the same `model_dir`; see `tiny_agents.make_agent` for the arguments."""

    def make(model_fn: Any = None, **arguments: Any) -> Agent:
        arguments.setdefault("model_dir", tmp_path / "run")
        return make_agent(model_fn, **arguments)

    return make


SLOW_TOO = (
    "estimators/test_continuous.py::test_a_pendulum_in_the_graph",
    "estimators/test_continuous.py::test_a_run_resumed_between_episodes",
    "estimators/test_continuous.py::test_a_resumed_run_may_have_other_environments",
    "estimators/test_fast_path.py::test_a_recurrent_torso_trains_with_xla_as_without[SimpleRNN-False]",
    "estimators/test_fast_path.py::test_each_model_learns_as_with_a_plain_optimizer_on_plain_variables[c51",
    "estimators/test_graph_loop.py::test_cart_pole_in_the_loop_steps_as_it_does_eagerly",
    "estimators/test_graph_loop.py::test_the_chain_is_solved[1]",
    "estimators/test_graph_loop.py::test_the_chain_is_solved[2]",
    "estimators/test_hooks.py::test_after_an_exception_training_goes_on_from_the_checkpoint_before_it[on]",
    "estimators/test_masked_runs.py::test_a_run_with_xla_is_the_run_without",
    "estimators/test_masked_runs.py::test_frames_are_stored_once_and_masks_with_them",
    "estimators/test_overlap.py::test_the_same_seed_gives_the_same_run[on]",
    "estimators/test_overlap.py::test_nothing_is_left_out_at_the_end",
    "estimators/test_pretraining.py::test_environments_in_the_graph_are_started_after_it",
    "estimators/test_pretraining.py::test_one_demonstration_teaches_what_chance_does_not_find[c51",
    "estimators/test_pretraining.py::test_other_demonstrations_than_those_trained_on_are_refused",
    "estimators/test_resume.py::test_another_seed_gives_other_weights_environments_and_actions",
    "estimators/test_resume.py::test_the_same_seed_gives_the_same_run_bit_for_bit[on]",
    "estimators/test_state_kinds.py::test_a_table_learns_the_values_of_a_chain_of_numbered_states[on]",
    "experiments/test_demos_flags.py::",
    "experiments/test_pendulum.py::test_the_script_trains_evaluates_and_acts",
    "test_benchmarks.py::test_the_worker_times_a_window",
    "test_eval_metrics.py::test_an_evaluation_reports_returns_and_metrics_and_writes_them_to_tensorboard[on]",
    "test_eval_metrics.py::test_every_metric_of_tf_keras_measures_what_is_named[xla]",
    "test_tensorboard_tags.py::test_each_group_alone_gives_its_panels_and_only_them[",
)
"""Of seconds each. A quicker test in the default run covers the code beneath; of whole scripts only the slow run has some."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the default run short: of models and memories each test runs with its first seed, all seeds are slow tests."""
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        seeded = item.nodeid.startswith(("tests/models/", "tests/replay/")) and parameters.get("seed", 0) != 0
        if seeded or any(item.nodeid.removeprefix("tests/").startswith(name) for name in SLOW_TOO):
            item.add_marker(pytest.mark.slow)
