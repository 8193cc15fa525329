"""`Readers`: `Agent.act` and the like read a checkpoint once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predictor_testing import FAST, MODELS, STATE, STATES, at, environment, q_values
from tiny_agents import make_agent, q_model_fn

from polyrl.estimators.checkpoints.manager import CheckpointManager
from polyrl.estimators.prediction.predictor import Predictor


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The checkpoints whose models are read, in their order."""
    read: list[str] = []
    original = CheckpointManager.restore_models

    def restore_models(path: Path, scope: Any) -> Any:
        read.append(path.name)
        return original(path, scope)

    monkeypatch.setattr(CheckpointManager, "restore_models", staticmethod(restore_models))
    return read


# Read once. -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_checkpoint_is_read_once(run, reads):
    agent = make_agent(MODELS["dqn"], model_dir=run)
    for _ in range(50):
        agent.act(STATE)
    list(agent.predict(environment(), steps=3))
    agent.record(environment(), 1)
    assert reads == ["ckpt-000000060"]


@pytest.mark.slow
def test_a_new_checkpoint_is_read_and_the_best_and_the_latest_are_kept_apart(run, reads):
    agent = make_agent(MODELS["dqn"], model_dir=run)
    best = agent.checkpoints.best().name
    for _ in range(5):
        agent.act(STATE)
        agent.act(STATE, "best")
        agent.act(STATE, at(run, 20))
    assert reads == ["ckpt-000000060", best, "ckpt-000000020"]
    agent.train(environment(), first_update=4, timesteps=5)
    for _ in range(5):
        agent.act(STATE, "best")
        agent.act(STATE)
    assert reads[3:] == ["ckpt-000000065"]


@pytest.mark.slow
def test_a_checkpoint_that_was_written_again_is_read_again(run, reads):
    """Another run in the same directory, with the same name of a checkpoint."""
    agent = make_agent(MODELS["dqn"], model_dir=run)
    before = agent.act(STATES)
    shutil.rmtree(run)
    make_agent(q_model_fn(**FAST, discount=0.0), model_dir=run, seed=3).train(environment(), first_update=4, timesteps=60)
    after = agent.act(STATES)
    assert reads == ["ckpt-000000060"] * 2
    expected = Predictor.from_model_dir(run, MODELS["dqn"]).act(STATES)
    np.testing.assert_array_equal(after, expected)
    assert not np.array_equal(before, after)


@pytest.mark.slow
@pytest.mark.parametrize("begun", [True, False], ids=["begun", "not begun"])
def test_a_prediction_keeps_its_weights_while_others_are_read(run, reads, begun):
    """One that has not given a row yet, too: a generator runs nothing before its first one is taken."""
    agent = make_agent(MODELS["dqn"], model_dir=run)
    alone = {step: q_values(agent.predictor(at(run, step)).predict(environment()), 6) for step in (20, 40, 60)}
    assert len({str(values) for values in alone.values()}) == 3
    predictions = {}
    for step in (20, 40):
        predictions[step] = agent.predict(environment(), checkpoint=at(run, step))
        rows = q_values(predictions[step], 2) if begun else []
        assert rows == alone[step][: len(rows)]
    agent.act(STATE)
    agent.evaluate(environment(), 1, checkpoint=at(run, 60))
    for step in (20, 40):
        rest = alone[step][2:] if begun else alone[step]
        assert q_values(predictions[step], len(rest)) == rest


def test_a_prediction_that_has_ended_or_is_forgotten_holds_nothing(run):
    agent = make_agent(MODELS["dqn"], model_dir=run)
    for step in (20, 40, 60, 20):
        list(agent.predict(environment(), steps=2, checkpoint=at(run, step)))
        closed = agent.predict(environment(), checkpoint=at(run, step))
        closed.close()
        agent.predict(environment(), checkpoint=at(run, step))
    assert sum(map(len, agent._readers._predictors.values())) == 1
