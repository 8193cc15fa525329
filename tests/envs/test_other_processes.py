"""An environment that was made in one process is opened in another one, as by an actor, where nothing was imported for it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from polyrl import GymEnvironment
from polyrl.envs.atari import AtariEnvironment
from polyrl.envs.backends import EnvpoolEnvironment

for package in ("ale_py", "cv2", "envpool", "minatar", "minigrid"):
    pytest.importorskip(package, reason=f"{package} is not installed")

OWN = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

gymnasium.register("OwnCartPole-v0", CartPoleEnv, max_episode_steps=5)
"""

OPENS = """
import pickle
import sys

for path in sys.argv[1:]:
    with open(path, "rb") as file:
        env = pickle.load(file).open(2)
    env.reset(seed=[1, 2])
    env.step(env.action_space.sample())
    print(path.rpartition("/")[2], env.num_envs)
    env.close()
"""


def test_it_is_opened_in_a_process_that_knows_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_games.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    made = {
        "gymnasium": GymEnvironment("CartPole-v1"),
        "minatar": GymEnvironment("MinAtar/Breakout-v1"),
        "minigrid": GymEnvironment("MiniGrid-Empty-5x5-v0", wrappers=["minigrid.wrappers:ImgObsWrapper"]),
        "own": GymEnvironment("own_games:OwnCartPole-v0"),
        "atari": AtariEnvironment("Pong"),
        "ale": AtariEnvironment("Pong", backend="ale"),
        "atari_envpool": AtariEnvironment("Pong", backend="envpool"),
        "envpool": EnvpoolEnvironment("CartPole-v1"),
    }
    for name, env in made.items():
        (tmp_path / name).write_bytes(pickle.dumps(env))
    command = [sys.executable, "-c", OPENS, *(str(tmp_path / name) for name in made)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} 2" for name in made], done.stdout
