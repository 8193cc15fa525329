"""One training run at a time in a `model_dir`, and one agent for a memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv

from polyrl.errors import ModelDirInUseError
from polyrl.estimators import Agent
from polyrl.estimators.checkpoints import claims
from polyrl.estimators.checkpoints.claims import claimed
from polyrl.estimators.hooks import Hook

BATCH = 4


def test_a_second_agent_is_refused_while_another_one_trains_in_its_directory(tmp_path):
    messages = []

    class TrainAnother(Hook):
        def after_act(self, run):
            with pytest.raises(RuntimeError) as error:
                make_agent(model_dir=tmp_path).train(ScheduleEnv(), first_update=BATCH, timesteps=8)
            messages.append(str(error.value))
            run.request_stop("seen")

    first = make_agent(model_dir=tmp_path)
    first.train(ScheduleEnv(), first_update=BATCH, timesteps=8, hooks=[TrainAnother()])
    assert len(messages) == 1
    assert f"model_dir='{tmp_path}' is in use: another run trains in it now" in messages[0]
    result = make_agent(model_dir=tmp_path).train(ScheduleEnv(), first_update=BATCH, max_timesteps=8)
    assert result.global_timestep == 8


def test_an_error_ends_the_claim(tmp_path):
    with pytest.raises(KeyError), claimed(tmp_path):
        raise KeyError
    with claimed(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_a_directory(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(FileExistsError), claimed(tmp_path / "run"):
        pass


@pytest.mark.parametrize("moment", ["made", "opened", "locked"])
def test_a_directory_that_is_removed_meanwhile_is_made_again_and_locked(tmp_path, monkeypatch, moment):
    """By another run that began at the same time, and has ended without writing anything."""
    model_dir, removed = tmp_path / "run", []
    places = {"made": (Path, "is_dir"), "opened": (claims.os, "open"), "locked": (claims.fcntl, "flock")}
    module, name = places[moment]
    call = getattr(module, name)
    if moment == "made":
        model_dir.mkdir()

    def late(*arguments, **more):
        if not removed:
            removed.append(model_dir.rmdir())
        return call(*arguments, **more)

    monkeypatch.setattr(module, name, late)
    with claimed(model_dir):
        monkeypatch.undo()
        assert removed
        with pytest.raises(ModelDirInUseError), claimed(model_dir):
            pass
        assert model_dir.is_dir()  # Who is refused leaves it.
    assert model_dir.exists() is (moment == "made")


@pytest.mark.slow
def test_another_process_is_refused(tmp_path):
    code = f"import pathlib, polyrl.estimators.checkpoints.claims as c\nwith c.claimed(pathlib.Path({str(tmp_path)!r})): pass"
    with claimed(tmp_path):
        refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is in use" in refused.stderr
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_memory_is_that_of_one_agent(tmp_path):
    """The second one would begin with the transitions of the first."""
    agent = make_agent()
    agent.train(ScheduleEnv(), first_update=BATCH, timesteps=8)
    agent.train(ScheduleEnv(), first_update=BATCH, timesteps=8)
    second = Agent(agent._model_fn, agent.memory, tmp_path, agent.config)
    with pytest.raises(ValueError, match=r"memory holds the transitions of another Agent.*make a new UniformReplay"):
        second.train(ScheduleEnv(), first_update=BATCH, timesteps=8)


@pytest.mark.timeout(30)
def test_a_link_to_nothing_is_an_error_and_not_waited_for(tmp_path):
    """It was looked for again without end."""
    (tmp_path / "run").symlink_to(tmp_path / "gone")
    with (
        pytest.raises(FileExistsError, match=r"run' cannot be used: .*a link to nothing\. Give a directory"),
        claimed(tmp_path / "run"),
    ):
        pass


@pytest.mark.timeout(30)
def test_a_directory_that_goes_again_and_again_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", lambda *args, **kwargs: None)
    with pytest.raises(FileNotFoundError, match=r"model_dir='.*run' cannot be used"), claimed(tmp_path / "run"):
        pass


def test_a_directory_without_the_right_to_write_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(claims.os, "access", lambda path, mode: False)
    with (
        pytest.raises(PermissionError, match=r"model_dir='.*' cannot be used: Permission denied\. Give a directory"),
        claimed(tmp_path),
    ):
        pass
