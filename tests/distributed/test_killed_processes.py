"""Processes that are killed again and again at random moments: the run goes on, or resumes by the same command."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ray_testing import are_gone, descendants, processes
from tiny_agents import q_model_fn
from tiny_envs import ChainEnv

from polyrl import Agent, GymEnvironment, PrioritizedReplay, RunConfig
from polyrl.configs import ConstantExplorationConfig
from polyrl.distributed import RemoteActors, RemoteReplay
from polyrl.estimators.hooks import Hook

TIMES = 20
ENOUGH = 3_000
TESTS = Path(__file__).resolve().parents[1]


class KillsAtRandom(Hook):
    """Kills processes of a kind, with random seconds between; then ends the run 500 steps after the last one.

    Not before `ENOUGH` steps, however slow the machine is: something is to be learned.
    """

    def __init__(self, kind: str, times: int):
        self._kind, self._left, self._random = kind, times, random.Random(1)
        self._next, self._end = time.monotonic() + 3.0, 0

    def after_act(self, run: Any) -> None:
        if self._left == 0:
            if run.timestep >= max(self._end, ENOUGH):
                run.request_stop("all were killed")
            return
        there = processes(self._kind)
        if time.monotonic() >= self._next and there:
            os.kill(self._random.choice(there), signal.SIGKILL)
            self._left -= 1
            self._next, self._end = time.monotonic() + self._random.uniform(0.0, 4.0), run.timestep + 500


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("kind", ["Actor", "ReplayShard"])
def test_actors_and_shards_are_killed_twenty_times(kind: str, tmp_path: Path) -> None:
    exploration = ConstantExplorationConfig(0.5)
    model_fn = q_model_fn(num_states=4, num_actions=2, discount=0.9, exploration_config=exploration)
    memory = RemoteReplay(PrioritizedReplay(10_000, 16), shards=2)
    config = RunConfig(seed=1, progress=False, save_checkpoints_timesteps=2_000)
    agent = Agent(model_fn, memory, tmp_path / "run", config)
    env = GymEnvironment(ChainEnv, num_envs=2)
    # Slowed down, so that there is time to be killed in: an update for each step.
    result = agent.train(RemoteActors(env, actors=2, steps=20), first_update=200, hooks=[KillsAtRandom(kind, TIMES)])
    assert result.stop_reason == "all were killed"
    assert result.global_step == result.global_timestep - 200
    assert agent.evaluate(env, 5)["mean_reward"] == pytest.approx(1.0)


PROGRAM = """
import sys
from tiny_agents import q_model_fn
from tiny_envs import ChainEnv
from polyrl import Agent, GymEnvironment, PrioritizedReplay, RunConfig
from polyrl.distributed import RemoteActors, RemoteReplay

if __name__ == "__main__":
    model_fn = q_model_fn(num_states=4, num_actions=2, discount=0.9)
    config = RunConfig(seed=1, save_checkpoints_timesteps=500, max_overhead=None)
    agent = Agent(model_fn, RemoteReplay(PrioritizedReplay(20_000, 16)), sys.argv[1], config)
    env = GymEnvironment(ChainEnv, num_envs=2)
    result = agent.train(RemoteActors(env, actors=1, steps=20), first_update=200, max_timesteps=int(sys.argv[2]))
    print("steps", result.global_step, result.global_timestep)
"""


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_the_learner_is_killed_twenty_times(tmp_path: Path) -> None:
    """Each time at some moment after it has written a checkpoint more; no process of Ray is left, and the run resumes."""
    program, run = tmp_path / "program.py", tmp_path / "run"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(run)]
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    chance = random.Random(1)
    for _ in range(TIMES):
        before = newest(run)
        with program_of(command, env, tmp_path) as started:
            deadline = time.monotonic() + 120.0
            while newest(run) == before:
                assert started.poll() is None, (tmp_path / "output").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(chance.uniform(0.0, 1.0))
            there = of_run(started)
            assert there
            started.kill()
        assert waits_until(lambda: are_gone(there), 30.0)  # noqa: B023  Of this turn of the loop.
    end = newest(run) + 1_000
    done = subprocess.run([*command, str(end)], env=env, capture_output=True, text=True, check=True)
    steps, timesteps = map(int, done.stdout.split()[-2:])
    assert timesteps >= end
    assert steps == timesteps - 200


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_rays_own_processes_are_killed_twenty_times(name: str, tmp_path: Path) -> None:
    """The run goes on, or ends within two minutes; the same command resumes it."""
    program, run = tmp_path / "program.py", tmp_path / "run"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(run)]
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    chance, ended = random.Random(2), 0
    for _ in range(TIMES):
        before, there = newest(run), list[int]()
        with program_of(command, env, tmp_path) as started:
            try:
                assert comes_to(run, before + 1, started)
                assert started.poll() is None, (tmp_path / "output").read_text()
                time.sleep(chance.uniform(0.0, 1.0))
                there += of_run(started)
                assert there
                (victim,) = descendants(started.pid, name)
                os.kill(victim, signal.SIGKILL)
                assert comes_to(run, newest(run) + 1_000, started)
                ended += started.poll() is not None
            finally:
                there += of_run(started)
                started.kill()
        assert waits_until(lambda: are_gone(there))  # noqa: B023  Of this turn of the loop.
    assert ended == TIMES or name == "gcs_server"
    end = newest(run) + 1_000
    done = subprocess.run([*command, str(end)], env=env, capture_output=True, text=True, check=True)
    steps, timesteps = map(int, done.stdout.split()[-2:])
    assert timesteps >= end
    assert steps == timesteps - 200


def program_of(command: Sequence[str], env: Mapping[str, str], directory: Path) -> subprocess.Popen[bytes]:
    """The program, begun; what it shows is in the file `output`."""
    with (directory / "output").open("wb") as output:
        return subprocess.Popen([*command, "1000000"], env=env, stdout=output, stderr=subprocess.STDOUT)


def of_run(started: subprocess.Popen[bytes]) -> list[int]:
    """The actors and shards of a run."""
    return [*processes("Actor", started.pid), *processes("ReplayShard", started.pid)]


def comes_to(run: Path, timestep: int, started: subprocess.Popen[bytes]) -> bool:
    """Whether a run has a checkpoint of that many environment steps, or has ended, within some seconds."""
    return waits_until(lambda: newest(run) >= timestep or started.poll() is not None)


def waits_until(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    """Whether a condition comes true within some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def newest(run: Path) -> int:
    """The environment steps of the newest checkpoint."""
    return max((int(path.name.split("-")[1]) for path in run.glob("checkpoints/ckpt-*[0-9]")), default=0)
