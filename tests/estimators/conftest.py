"""Trained runs for the tests that only read them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from predictor_testing import MODELS, environment
from tiny_agents import make_agent

from polyrl.estimators.hooks import EvaluationHook


@pytest.fixture(scope="session")
def directories(tmp_path_factory) -> dict[str, Path]:
    """Runs of each kind: checkpoints at 20, 40 and 60 environment steps, and the best one."""
    found = {}
    for kind, model_fn in MODELS.items():
        agent = make_agent(model_fn, model_dir=tmp_path_factory.mktemp(kind) / "run", save_checkpoints_timesteps=20)
        hooks = [EvaluationHook(environment(kind), 30, 1)]
        agent.train(environment(kind), first_update=4, max_timesteps=60, hooks=hooks)
        found[kind] = agent.model_dir
    return found


@pytest.fixture
def run(directories, tmp_path) -> Path:
    """A copy of DQN's run, to be changed."""
    return Path(shutil.copytree(directories["dqn"], tmp_path / "run"))
