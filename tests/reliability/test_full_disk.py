"""A disk that takes no checkpoint: training continues with a warning, and what was there before is as it was."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from exact_testing import Case, assert_same, environment, new_agent, train

from polyrl.errors import CheckpointWriteError
from polyrl.estimators.checkpoints import files as checkpoint_files

FULL = OSError(errno.ENOSPC, "No space left on device")


def counting(monkeypatch, owner, name, fails):
    """Makes the calls of a function fail for which `fails(number)` is true; the list of the numbers of the calls so far."""
    function, calls = getattr(owner, name), []

    def call(*arguments, **named):
        calls.append(len(calls))
        if fails(calls[-1]):
            raise FULL
        return function(*arguments, **named)

    monkeypatch.setattr(owner, name, call)
    return calls


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_training_continues_and_warns_each_time(tmp_path, caplog, monkeypatch):
    whole = train(Case(), tmp_path / "whole", 200)
    with monkeypatch.context() as patch:
        counting(patch, checkpoint_files, "_complete", lambda number: number in (2, 3))  # One of them is of the best.
        found = train(Case(), tmp_path / "full", 200)
    assert_same({**whole, "best": None}, {**found, "best": None})
    texts = [text for text in warnings_of(caplog) if "No space left on device" in text]
    assert len(texts) == 2
    assert all("ckpt-0000000" in text and "cannot be written" in text for text in texts)
    assert any("Training continues without it. The newest one is" in text for text in texts)


@pytest.mark.parametrize("error", [FULL, OSError("The share is gone.")])
def test_a_file_that_cannot_be_written_is_named(tmp_path, monkeypatch, error):
    """The system does not name it where the disk is full: a run ended by its words alone, as it was to write config.json."""

    def fails(*_, **__):
        raise error

    checkpoint_files.write_text(tmp_path / "config.json", "{}")
    monkeypatch.setattr(Path, "write_text", fails)
    with pytest.raises(OSError, match=rf"(No space left on device|The share is gone\.): '{tmp_path}/config.json'"):
        checkpoint_files.write_text(tmp_path / "config.json", "[]")
    assert (tmp_path / "config.json").read_text() == "{}"


@pytest.mark.slow
def test_at_the_end_of_a_run_it_is_an_error_that_names_the_newest_checkpoint(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        counting(patch, checkpoint_files, "_complete", lambda number: number >= 3)
        with pytest.raises(
            CheckpointWriteError, match=r"ckpt-000000200 cannot be written: .*No space.*newest one is .*ckpt-0000000"
        ):
            train(Case(), tmp_path / "died", 200)
    whole = train(Case(), tmp_path / "whole", 200)
    assert_same(whole, train(Case(), tmp_path / "died", 200))


@pytest.mark.slow
@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_whatever_fails_inside_of_a_save_the_one_before_is_whole(tmp_path, monkeypatch, call):
    agent = new_agent(Case(), tmp_path, save_summary_timesteps=None)
    agent.train(environment(Case()), first_update=8, max_timesteps=20)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "ckpt" in str(path)}
    assert len(before) > 3
    number = 0
    while True:
        with monkeypatch.context() as patch:
            calls = counting(patch, os, call, lambda made, failing=number: made == failing)
            try:
                checkpoint_files.write(agent.checkpoints.directory / "ckpt-000000021", written)
                break
            except CheckpointWriteError:
                number += 1
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "ckpt" in str(path)} == before
        assert agent.checkpoints.latest().name == "ckpt-000000020"
        assert len(calls) >= number
    assert number > 0
    assert agent.checkpoints.latest().name == "ckpt-000000021"


def written(staging):
    (staging / "variables.index").write_text("numbers")
    return {"global_timestep": 21}


LIMITED = """
import resource, signal, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from exact_testing import Case, train
from polyrl.estimators.hooks import Hook

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

class Limit(Hook):
    def after_act(self, run):
        if run.timestep == 100:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))

try:
    train(Case(), Path(sys.argv[1]), 200, further=[Limit()])
except OSError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_a_real_limit_of_the_system(tmp_path):
    """Files may have 500 bytes: TensorFlow's own writing fails then, as on a full disk."""
    here = os.path.dirname(__file__)
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "limited"), here, os.path.dirname(here)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("CheckpointWriteError")
    assert "The newest one is" in done.stdout
    assert "ckpt-000000080" in done.stdout
    assert done.stderr.count("Training continues without it.") == 3  # At 120, 160 and 200.
    assert_same(train(Case(), tmp_path / "whole", 200), train(Case(), tmp_path / "limited", 200))
