"""How often scalars are written: by default a two-hundredth of the run, within bounds."""

from __future__ import annotations

import json

import pytest
from tiny_agents import make_agent
from tiny_envs import ConstantEnv

from polyrl.estimators import RunConfig
from polyrl.estimators.budget import Budget
from polyrl.estimators.hooks.summary import summary_cadence

CASES = {
    "short": (Budget(timestep=20_000), 500),
    "the shortest": (Budget(timestep=1), 500),
    "just above": (Budget(timestep=100_400), 502),
    "a million": (Budget(timestep=1_000_000), 5_000),
    "long": (Budget(timestep=50_000_000), 10_000),
    "by updates": (Budget(step=400_000), 2_000),
    "by both": (Budget(step=400_000, timestep=1_000_000), 5_000),
    "by episodes": (Budget(episode=100_000), 1_000),
    "without": (Budget(), 1_000),
}


@pytest.mark.parametrize("case", CASES)
def test_the_cadence_goes_by_the_budget(case):
    budget, expected = CASES[case]
    assert summary_cadence(budget) == expected


def written(directory):
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [line["global_timestep"] for line in lines if "replay/size" in line]


@pytest.mark.slow
def test_a_run_keeps_to_it(tmp_path):
    agent = make_agent(model_dir=tmp_path / "auto", save_summary_timesteps="auto")
    agent.train(ConstantEnv(), first_update=10, update_frequency=100, timesteps=1_100)
    assert written(tmp_path / "auto") == [500, 1_000, 1_100]
    agent = make_agent(model_dir=tmp_path / "open", save_summary_timesteps="auto")
    agent.train(ConstantEnv(), first_update=10, update_frequency=100, steps=13)
    assert written(tmp_path / "open")[0] == 500


@pytest.mark.parametrize(("given", "error"), [("daily", ValueError), (0, ValueError), (2.5, TypeError), (True, TypeError)])
def test_anything_else_is_refused_by_name(given, error):
    with pytest.raises(error, match="save_summary_timesteps="):
        RunConfig(save_summary_timesteps=given)
    with pytest.raises((ValueError, TypeError), match="save_checkpoints_timesteps="):
        RunConfig(save_checkpoints_timesteps="auto")
