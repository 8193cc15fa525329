"""The script of Pendulum, from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(__file__).resolve().parents[2] / "experiments" / "pendulum_naf.py")
TINY = [
    "--jit=off",
    "--train_timesteps=400",
    "--first_update=128",
    "--update_frequency=4",
    "--eval_frequency=200",
    "--eval_episodes_while_training=1",
    "--eval_episodes=2",
]


def run(*flags: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--noprogress", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["ornstein_uhlenbeck", "gaussian"])
def test_the_script_trains_evaluates_and_acts(tmp_path, noise):
    """Torques as lists of one number within the range; the noise is a hyper-parameter that the directory keeps."""
    where = f"--model_dir={tmp_path / 'run'}"
    output = run(where, *TINY, f"--noise={noise}")
    for words in ("budget of timesteps reached: 400 of 400", "mean_reward", "2 episodes"):
        assert words in output
    assert json.loads((tmp_path / "run" / "params.json").read_text())["params"]["noise"] == noise
    steps = tmp_path / "steps.jsonl"
    run("--mode=infer", where, "--jit=off", f"--output={steps}", "--infer_episodes=1")
    lines = [json.loads(line) for line in steps.read_text().splitlines()]
    assert len(lines) == 200
    assert all(len(line["action"]) == 1 and abs(line["action"][0]) <= 2.0 for line in lines)
    assert all(isinstance(line["q"], float) for line in lines)


@pytest.mark.slow
def test_the_schedule_of_the_gaussian_noise_is_refused_with_the_other_noise(tmp_path):
    where = f"--model_dir={tmp_path / 'run'}"
    output = run(
        where, *TINY, "--noise=ornstein_uhlenbeck", "--exploration_start=0.7", "--exploration_timesteps=500", status=1
    )
    for flag in ("--exploration_start=0.7", "--exploration_timesteps=500"):
        assert f"{flag} has no effect with --noise=ornstein_uhlenbeck: it needs --noise=gaussian" in output
    assert not (tmp_path / "run").exists()
