"""The directory of a run from which somebody has removed something, or in which somebody has changed something."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from polyrl.serving import versions

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ("--mode=train", "--train_timesteps=40", "--first_update=10", "--jit=off", "--noprogress")


def polyrl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "polyrl", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of an environment that was named without its version."""
    run = tmp_path_factory.mktemp("runs") / "one"
    done = polyrl("--env=CartPole", "--model=dqn", *TRAIN, f"--model_dir={run}")
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.mark.slow
def test_the_newest_version_is_what_is_noted(trained):
    """The name without one was refused by the preset's backend, and was another environment for a run with it."""
    assert json.loads((trained / "params.json").read_text())["params"]["env"] == "CartPole-v1"
    assert json.loads((trained / "config.json").read_text())["env"] == "CartPole-v1"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", pytest.param("eval", marks=pytest.mark.slow)])
def test_a_setting_that_somebody_has_edited_is_told(run, mode):
    """The run went on with what it was trained with, and the file said something else."""
    file = run / "config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "learning_rate": 0.5}))
    done = polyrl(f"--mode={mode}", f"--model_dir={run}")
    rate = settings["learning_rate"]
    words = f"ValueError: {file} has been changed since the run was trained: learning_rate={rate} in training, 0.5"
    assert done.returncode == 1
    assert done.stderr.startswith(words)


def test_checkpoints_that_are_gone_are_not_to_be_trained_first(run):
    shutil.rmtree(run / "checkpoints")
    done = polyrl("--mode=eval", f"--model_dir={run}")
    assert "Those that a run has written there are gone: put one back from a copy." in done.stderr


@pytest.mark.slow
def test_a_checkpoint_of_another_environment_is_told_with_its_run(trained, run):
    for name in ("params.json", "config.json"):
        file = run / name
        file.write_text(file.read_text().replace('"env": "CartPole-v1"', '"env": "Acrobot-v1"'))
    (checkpoint,) = (trained / "checkpoints").glob("ckpt-*")
    done = polyrl("--mode=eval", f"--model_dir={run}", f"--checkpoint={checkpoint}")
    assert f"is of another run than --model_dir={run}: env=CartPole-v1 there, Acrobot-v1 here." in done.stderr
    assert f"--model_dir={trained}." in done.stderr


def test_what_a_killed_export_has_left_is_removed_when_it_is_old(tmp_path):
    old, new = tmp_path / "temp-1-1", tmp_path / "temp-2-2"
    for path, age in ((old, 2 * versions.ABANDONED_SECONDS), (new, 0.0)):
        path.mkdir()
        (path / "variables").mkdir()
        os.utime(path, (time.time() - age,) * 2)
    written = versions.write(tmp_path, lambda directory: (directory / "model").touch(), {})
    assert sorted(tmp_path.iterdir()) == sorted([new, written])
