"""Trained runs: some to be read only, one to be changed, and one for each test that resumes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from checkpoint_testing import BATCH, schedule, state_of
from predictor_testing import MODELS, environment
from rollout_testing import schedule as episodes_of
from rollout_testing import train_on
from tiny_agents import counting_model_fn, make_agent, q_model_fn

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


@pytest.fixture
def trained(agent):
    """Trains a first agent and tells what its directory holds."""

    def train(model_fn=None, **arguments):
        first = agent(model_fn, **arguments)
        first.train(schedule(), first_update=BATCH, timesteps=8)
        return state_of(first.model_dir)

    return train


@pytest.fixture(scope="module")
def dqn(tmp_path_factory):
    """The directory of a trained DQN; agents that only read it may share it."""
    return train_on(episodes_of(), q_model_fn(), tmp_path_factory.mktemp("dqn") / "run").model_dir


@pytest.fixture(scope="module")
def reader(dqn):
    """An agent that evaluates and predicts with it."""
    return make_agent(q_model_fn(), model_dir=dqn)


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """An agent that always takes action 0, and whose loss is the mean reward; evaluated and predicted with only."""
    return train_on(episodes_of(), counting_model_fn, tmp_path_factory.mktemp("counting") / "run")
