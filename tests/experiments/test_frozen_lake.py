"""The script of FrozenLake, from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "experiments" / "frozen_lake_dqn.py")


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


def best_share(steps: int = 100) -> float:
    """The largest probability to come to the goal of the slippery lake in so many steps, by dynamic programming."""
    transitions = gymnasium.make("FrozenLake-v1").unwrapped.P
    values = np.zeros(16)
    for _ in range(steps):
        values = np.array(
            [
                max(
                    sum(p * (reward + (0.0 if ends else values[next_state])) for p, next_state, reward, ends in outcomes)
                    for outcomes in transitions[state].values()
                )
                for state in range(16)
            ]
        )
    return float(values[0])


def test_the_optimum_that_the_script_names_is_that_of_dynamic_programming():
    assert best_share() == pytest.approx(0.744, abs=5e-4)
    assert "0.744" in Path(SCRIPT).read_text()


@pytest.mark.slow
def test_the_lake_that_is_not_slippery_is_learnt_to_the_optimum(tmp_path):
    """Six steps to the goal, always; then it acts by its policy with what the directory says."""
    where = f"--model_dir={tmp_path / 'run'}"
    output = run("--noslippery", where, "--eval_episodes=20", "--stop_at_reward=1.0")
    assert "solved: mean reward 1.0" in output
    params = json.loads((tmp_path / "run" / "params.json").read_text())["params"]
    assert (params["slippery"], params["clip_embed_gradients"], params["target_update_tau"]) == (False, 0.1, 1.0)
    steps = tmp_path / "steps.jsonl"
    run("--mode=infer", where, f"--output={steps}", "--infer_episodes=1")
    lines = [json.loads(line) for line in steps.read_text().splitlines()]
    assert len(lines) == 6
    assert lines[0]["state"] == 0
    assert lines[-1]["reward"] == 1.0


@pytest.mark.slow
def test_a_backend_that_cannot_keep_the_ice_from_being_slippery_is_refused(tmp_path):
    output = run(f"--model_dir={tmp_path / 'run'}", "--env_backend=envpool", "--noslippery", status=1)
    assert "--env_backend=envpool does not take ['is_slippery']" in output
