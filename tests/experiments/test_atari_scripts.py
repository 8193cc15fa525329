"""The Atari scripts from the command line, on short games of Pong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

for package in ("ale_py", "cv2"):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install 'polyrl[atari]'")

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "--noprogress",
    "--num_envs=2",
    "--memory_size=300",
    "--first_update=64",
    "--max_episode_frames=120",
    "--eval_episodes=2",
    "--eval_frequency=100",
    "--eval_episodes_while_training=2",
]


def run(script: str, *flags: str, status: int = 0) -> str:
    command = [sys.executable, str(ROOT / "experiments" / f"atari_{script}.py"), *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200)
    assert done.returncode == status, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


ALLOCATE = """
from polyrl.experiments import atari
import tensorflow as tf

def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) * 1024

atari.use_system_allocator()
make = tf.function(lambda: tf.ones([80_000, 84, 84], tf.uint8)).get_concrete_function()
tf.ones([10]) + 1.0
before = resident()
frames = make()
print(resident() - before - 80_000 * 84 * 84)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_large_memories_cost_little_more_than_what_they_hold():
    """0.56 GB of frames, for which TensorFlow's own allocator keeps books of a thirty-second of 1.07 GB."""
    command = [sys.executable, "-c", ALLOCATE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    assert int(done.stdout) < 5e6


@pytest.mark.slow
def test_c51_learns_on_one_backend_resumes_on_another_and_infers(tmp_path):
    where = f"--model_dir={tmp_path / 'run'}"
    output = run("c51", *TINY, where, "--train_timesteps=120", "--mode=train", "--env_backend=ale", "--num_atoms=7")
    assert "budget of timesteps reached: 120 of 120" in output
    params = json.loads((tmp_path / "run" / "params.json").read_text())["params"]
    assert (params["game"], params["num_atoms"], params["adam_epsilon"]) == ("Pong", 7, 0.01 / 32)
    assert "env_backend" not in params
    output = run("c51", where, "--noprogress", "--train_timesteps=160", "--mode=train", "--env_backend=gymnasium")
    assert "Resuming from" in output
    assert "A.L.E" not in output
    assert "environment step 120" in output
    steps = tmp_path / "steps.jsonl"
    assert "mean_reward" in run("c51", where, "--mode=infer", "--infer_episodes=1", f"--output={steps}")
    lines = [json.loads(line) for line in steps.read_text().splitlines()]
    assert [line["truncated"] for line in lines] == [False] * 29 + [True]
    assert len(lines[0]["q"]) == 6


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["gymnasium", "ale", "envpool"])
def test_dqn_trains_with_evaluations_on_every_backend(tmp_path, backend):
    if backend == "envpool":
        pytest.importorskip("envpool", reason="envpool is not installed: pip install 'polyrl[envpool]'")
    where = f"--model_dir={tmp_path / 'run'}"
    output = run("dqn", *TINY, where, "--train_timesteps=200", f"--env_backend={backend}", "--terminal_on_life_loss")
    for words in ("budget of timesteps reached: 200 of 200", "mean_reward", "mean_ep_length", "30.000", "best"):
        assert words in output
    assert "mean_reward" in run("dqn", where, "--mode=eval", "--eval_episodes=2", f"--env_backend={backend}")


@pytest.mark.slow
def test_what_cannot_run_leaves_nothing_behind(tmp_path):
    where = f"--model_dir={tmp_path / 'run'}"
    assert "Did you mean 'Pong'?" in run("dqn", where, "--game=pong", status=1)
    assert not (tmp_path / "run").exists()
