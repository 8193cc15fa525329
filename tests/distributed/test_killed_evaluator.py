"""The evaluator of a cluster is killed again and again: it looks at the newest checkpoint when it begins again."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

TIMES = 20
COMMAND = ["--env=CartPole-v1", "--model=dqn", "--train_timesteps=3000", "--eval_episodes=40", "--noprogress"]


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_evaluator_is_killed_twenty_times(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "polyrl", *COMMAND, f"--model_dir={tmp_path / 'run'}"]
    cadence = ["--save_checkpoints_timesteps=1000", "--max_overhead=1"]
    trainer = subprocess.Popen([*command, *cadence, "--mode=train"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    task = {"cluster": {"chief": ["a:1"], "evaluator": ["b:1"]}, "task": {"type": "evaluator", "index": 0}}
    environment = {**os.environ, "TF_CONFIG": json.dumps(task)}
    chance = random.Random(3)
    for _ in range(TIMES):
        with (tmp_path / "killed.txt").open("wb") as output:
            evaluator = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
            time.sleep(chance.uniform(2.0, 12.0))
            # It ends by itself once the run has, and the last checkpoint is evaluated.
            assert evaluator.poll() in (None, 0), (tmp_path / "killed.txt").read_text()
            evaluator.kill()
            evaluator.wait()
    assert trainer.wait(120.0) == 0
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120.0)
    assert done.returncode == 0, done.stderr
    assert "ckpt-000003000" in done.stdout
    # TensorBoard has a file of each that was not killed before it wrote.
    assert list((tmp_path / "run").glob("eval_continuous/events.*"))
