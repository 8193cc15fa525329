"""A curve of evaluations has at least twenty points, within bounds; what is asked for is done."""

from __future__ import annotations

import csv
import inspect

import pytest
from tiny_agents import make_agent, q_model_fn

from polyrl.estimators.cadence import evaluation_cadence
from polyrl.experiments import RLExperiment


@pytest.mark.parametrize(
    ("asked", "budget", "expected"),
    [
        (None, 20_000, 800),
        (None, 30_000, 1_200),
        (None, 8_000, 800),
        (None, 100, 800),
        (None, 100_000, 2_000),
        (None, None, 2_000),
        (7, 20_000, 7),
        (50_000, 20_000, 50_000),
        (3, None, 3),
    ],
)
def test_the_cadence_of_a_budget(asked, budget, expected):
    assert evaluation_cadence(asked, budget) == expected


def test_twenty_of_them_come_after_the_first_update_of_a_run_at_the_defaults():
    """Before it there is nothing to evaluate: of twenty evaluations nineteen were done."""
    first_update = inspect.signature(RLExperiment).parameters["first_update"].default
    every = evaluation_cadence(None, 20_000)
    assert sum(step > first_update for step in range(every, 20_001, every)) >= 20


@pytest.mark.parametrize("budget", [0, "many"])
def test_a_budget_that_is_none_is_refused_by_its_name(budget):
    with pytest.raises((TypeError, ValueError), match="train_timesteps"):
        evaluation_cadence(None, budget)


@pytest.mark.slow
def test_a_run_at_the_defaults_is_evaluated_in_its_middle(tmp_path):
    """With an evaluation every 2,000 steps a run of so many had the first at its end."""
    agent = make_agent(q_model_fn(num_actions=2), model_dir=tmp_path)
    RLExperiment(
        agent, "CartPole-v1", train_timesteps=2_000, first_update=4, update_frequency=100, eval_episodes=1
    ).train_and_evaluate()
    with (tmp_path / "evaluations.csv").open() as file:
        assert [row["global_timestep"] for row in csv.DictReader(file)] == ["800", "1600"]
