"""Directories and checkpoints that are not where they were: moved, removed, copied to the wrong place, replaced."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from checkpoint_testing import BATCH, schedule, state_of
from tiny_agents import make_agent

from polyrl.errors import CheckpointWriteError, DamagedCheckpointError, NotTrainedError
from polyrl.estimators.checkpoints.claims import claimed
from polyrl.estimators.hooks import EvaluationHook, Hook

# The directory of a run. ------------------------------------------------------------------------------------------------


class Once(Hook):
    """Does something at an environment step."""

    def __init__(self, timestep, does):
        self._timestep, self._does = timestep, does

    def after_act(self, run):
        if run.timestep == self._timestep:
            self._does()


def train(model_dir, timesteps=40, hooks=(), every=8):
    agent = make_agent(model_dir=model_dir, save_checkpoints_timesteps=every)
    return agent.train(schedule(), first_update=BATCH, max_timesteps=timesteps, hooks=hooks)


@pytest.mark.parametrize("kind", ["moved", "removed"])
def test_a_run_whose_directory_is_gone_writes_no_checkpoint_there(tmp_path, caplog, kind):
    """Another run may train there by then."""
    run, other = tmp_path / "run", tmp_path / "other"
    gone = (lambda: run.rename(other)) if kind == "moved" else (lambda: shutil.rmtree(run))
    with caplog.at_level(logging.WARNING, "polyrl"), pytest.raises(CheckpointWriteError, match="was moved or removed"):
        train(run, hooks=[Once(20, gone)])
    assert sum("was moved or removed while this run trains in it" in text for text in caplog.messages) >= 2
    assert not (run / "checkpoints").exists()
    if kind == "moved":
        assert sorted(path.name for path in (other / "checkpoints").iterdir())[-1] == "ckpt-000000016"
        assert train(other).global_timestep == 40


def test_a_run_whose_directory_is_moved_back_continues_to_write_there(tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    train(run, hooks=[Once(18, lambda: run.rename(other)), Once(28, lambda: other.rename(run))])
    assert (run / "checkpoints" / "ckpt-000000040").is_dir()


FORKS = """
import os, sys, time
import polyrl
from polyrl.estimators.checkpoints.claims import claimed
from pathlib import Path
with claimed(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_that_was_forked_does_not_keep_the_claim_of_a_run_that_has_died(tmp_path):
    trainer = subprocess.Popen([sys.executable, "-c", FORKS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    child = int(trainer.stdout.readline())
    try:
        trainer.kill()
        trainer.wait()
        time.sleep(0.1)
        os.kill(child, 0)  # It is there.
        assert train(tmp_path).global_timestep == 40
    finally:
        os.kill(child, signal.SIGKILL)


# The best checkpoint. ---------------------------------------------------------------------------------------------------


@pytest.fixture
def evaluated(tmp_path):
    """A run with a best checkpoint, at the environment steps 8 to 24."""
    run = tmp_path / "run"
    train(run, 24, [EvaluationHook(schedule(), 8, 1)])
    return run


def test_without_its_best_checkpoint_a_run_says_so_and_keeps_the_score(evaluated, caplog):
    agent = make_agent(model_dir=evaluated, save_checkpoints_timesteps=8)
    score = agent.checkpoints.best_score()
    assert score is not None
    shutil.rmtree(evaluated / "best")
    with pytest.raises(NotTrainedError, match=f"that with {score} was removed"):
        agent.evaluate(schedule(), 1, checkpoint="best")
    scores = []

    class Look(Hook):
        def begin(self, run):
            scores.append(run.best_score)

    with caplog.at_level(logging.WARNING, "polyrl"):
        agent.train(schedule(), first_update=BATCH, max_timesteps=32, hooks=[Look()])
    assert any("The best checkpoint" in text and "any more" in text for text in caplog.messages)
    assert scores == [score]


@pytest.mark.parametrize("to", ["best", "checkpoints"])
def test_a_checkpoint_of_the_other_kind_is_named_and_not_taken(evaluated, to):
    source = "checkpoints" if to == "best" else "best"
    newest = sorted((evaluated / source).iterdir())[-1]
    shutil.rmtree(evaluated / to)
    (evaluated / to).mkdir()
    shutil.copytree(newest, evaluated / to / newest.name)
    with pytest.raises(DamagedCheckpointError, match="does not belong there"):
        train(evaluated)
    assert (evaluated / to / newest.name).is_dir()


# What has the name of a checkpoint. -------------------------------------------------------------------------------------


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("kind", ["file", "dangling link", "pipe as its state"])
def test_what_is_in_place_of_the_newest_checkpoint_is_named_and_left_alone(tmp_path, caplog, kind):
    run = tmp_path / "run"
    train(run, 16)
    newest = run / "checkpoints" / "ckpt-000000016"
    if kind == "pipe as its state":
        (newest / "state.json").unlink()
        os.mkfifo(newest / "state.json")
    else:
        shutil.rmtree(newest)
        newest.touch() if kind == "file" else newest.symlink_to(tmp_path / "nothing")
    before = state_of(run / "checkpoints" / "ckpt-000000008")
    with caplog.at_level(logging.WARNING, "polyrl"):
        assert train(run, 24).global_timestep == 24
    if kind != "dangling link":  # That is nothing.
        assert any("ckpt-000000016" in text and "Taking" in text for text in caplog.messages)
    assert before
    assert (run / "checkpoints" / "ckpt-000000024").is_dir()
    aside = run / "checkpoints" / "ckpt-000000016.damaged-0"
    assert os.path.lexists(aside)


def test_a_run_that_is_refused_leaves_no_directory_that_it_has_made(tmp_path):
    """The ones above `model_dir` were left."""
    (tmp_path / "runs").mkdir()
    with claimed(tmp_path / "runs" / "a" / "b"):
        assert (tmp_path / "runs" / "a" / "b").is_dir()
    assert list(tmp_path.rglob("*")) == [tmp_path / "runs"]
    with claimed(tmp_path / "runs" / "a" / "b"):
        (tmp_path / "runs" / "a" / "other").mkdir()
    assert list((tmp_path / "runs").rglob("*")) == [tmp_path / "runs" / "a", tmp_path / "runs" / "a" / "other"]
    with claimed(tmp_path / "runs" / "c" / "d"):
        (tmp_path / "runs" / "c" / "d" / "written").touch()
    assert (tmp_path / "runs" / "c" / "d" / "written").exists()
