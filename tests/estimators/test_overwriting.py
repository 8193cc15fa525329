"""A run that begins again where another one is: that one is moved, whole, and only when all else has been checked."""

from __future__ import annotations

import shutil

import gymnasium
import pytest
from tiny_agents import make_agent, q_model_fn
from tiny_envs import ScheduleEnv

from polyrl.errors import CheckpointMismatchError
from polyrl.estimators.checkpoints.claims import claimed


def train(model_dir, timesteps=8, env=None, overwrite=True, **arguments):
    agent = make_agent(q_model_fn(**arguments), model_dir=model_dir)
    return agent.train(ScheduleEnv() if env is None else env, first_update=4, timesteps=timesteps, overwrite=overwrite)


def files_of(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained")
    train(directory, 6, overwrite=False)
    return directory


@pytest.fixture
def trained(run, tmp_path):
    return shutil.copytree(run, tmp_path, dirs_exist_ok=True)


@pytest.mark.slow
def test_all_of_it_is_kept_under_another_name(trained):
    before = files_of(trained)
    assert train(trained, units=16).global_timestep == 8
    assert files_of(trained / "replaced-0") == before
    assert train(trained, 9).global_timestep == 9
    assert (trained / "replaced-1" / "checkpoints" / "ckpt-000000008").is_dir()
    aside = make_agent(q_model_fn(), model_dir=trained / "replaced-0")
    assert aside.checkpoints.latest().name == "ckpt-000000006"
    assert make_agent(q_model_fn(), model_dir=trained).checkpoints.latest().name == "ckpt-000000009"


@pytest.mark.slow
def test_where_there_is_nothing_nothing_is_moved(tmp_path):
    assert train(tmp_path / "none").global_timestep == 8
    assert not list(tmp_path.rglob("replaced-*"))


def test_not_while_a_run_trains_in_it(trained):
    before = files_of(trained)
    with claimed(trained), pytest.raises(RuntimeError, match="in use"):
        train(trained)
    assert files_of(trained) == before


class BrokenEnv(ScheduleEnv):
    """Its reset fails."""

    def reset(self, *args, **kwargs):
        raise RuntimeError("no reset today")


MISTAKES = {
    "an unknown environment": {"env": "Nowhere-v0"},
    "an environment that cannot be reset": {"env": BrokenEnv()},
    "an action space that the model does not fit": {"env": gymnasium.make("Pendulum-v1")},
    "an argument of the model": {"discount": 3.0},
    "no name of its optimizer": {"optimizer_config": "adm"},
    "a budget": {"timesteps": 0},
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_leaves_the_run_where_it_is(trained, mistake):
    """It was moved before its successor was refused."""
    before = files_of(trained)
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        train(trained, **MISTAKES[mistake])
    assert files_of(trained) == before
    assert not (trained / "replaced-0").exists()


@pytest.mark.slow
def test_without_it_the_same_is_refused_and_an_agent_that_has_trained_cannot_begin_again(trained):
    with pytest.raises(CheckpointMismatchError):
        train(trained, overwrite=False, units=16)
    agent = make_agent(q_model_fn(), model_dir=trained)
    agent.train(ScheduleEnv(), first_update=4, timesteps=2)
    with pytest.raises(ValueError, match="that it trained for 8 environment steps; make a new Agent"):
        agent.train(ScheduleEnv(), first_update=4, timesteps=2, overwrite=True)
    with pytest.raises(TypeError, match="overwrite='yes' must be True or False"):
        make_agent(model_dir=trained).train(ScheduleEnv(), timesteps=2, overwrite="yes")
