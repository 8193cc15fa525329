"""A run that begins again where another one is."""

from __future__ import annotations

import pytest
from tiny_agents import make_agent, q_model_fn
from tiny_envs import ScheduleEnv

from polyrl.estimators.claims import claimed
from polyrl.estimators.overwriting import set_aside_run


def train(model_dir, timesteps, **arguments):
    agent = make_agent(q_model_fn(**arguments), model_dir=model_dir)
    return agent.train(ScheduleEnv(), first_update=4, timesteps=timesteps)


def test_all_of_it_is_kept_under_another_name(tmp_path):
    train(tmp_path, 6)
    before = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    aside = set_aside_run(tmp_path)
    assert aside == tmp_path / "replaced-0"
    assert {path.relative_to(aside): path.read_bytes() for path in aside.rglob("*") if path.is_file()} == before
    assert train(tmp_path, 8, units=16).global_timestep == 8
    assert set_aside_run(tmp_path) == tmp_path / "replaced-1"
    assert make_agent(q_model_fn(), model_dir=aside).checkpoints.latest().name == "ckpt-000000006"


def test_where_there_is_nothing_nothing_is_made(tmp_path):
    assert set_aside_run(tmp_path / "none") is None
    assert set_aside_run(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_not_while_a_run_trains_in_it(tmp_path):
    train(tmp_path, 6)
    before = sorted(tmp_path.rglob("*"))
    with claimed(tmp_path), pytest.raises(RuntimeError, match="in use"):
        set_aside_run(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
