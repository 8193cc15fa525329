"""Runs with actors and shards in processes of Ray, also such as are killed."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from ray_testing import processes
from tiny_agents import q_model_fn
from tiny_envs import ChainEnv

from polyrl import Agent, GymEnvironment, PrioritizedReplay, RunConfig, UniformReplay
from polyrl.configs import ConstantExplorationConfig
from polyrl.distributed import RemoteActors, RemoteReplay
from polyrl.distributed.cluster import connected
from polyrl.errors import BrokenEnvironmentError, CheckpointMismatchError
from polyrl.estimators.hooks import Hook
from polyrl.experiments.processes import placed_by_ray

CORES = 4


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One for all runs of this file: it takes seconds to start."""
    before = listening()
    with connected(None, CORES):
        assert {address for address in listening() - before if not is_loopback(address)} == set()
        yield
    ray = sys.modules["ray"]
    assert not ray.is_initialized()


def listening() -> set[tuple[str, str]]:
    """Addresses and ports that something listens on, in hexadecimal."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {tuple(line[1].split(":")) for line in lines if line[3] == "0A"}


def is_loopback(address: tuple[str, str]) -> bool:
    return address[0] in ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")


def an_agent(model_dir: Path, memory=None, **config) -> Agent:
    memory = RemoteReplay(PrioritizedReplay(10_000, 16, n_step=2), shards=1) if memory is None else memory
    model_fn = q_model_fn(
        num_states=4, num_actions=2, discount=0.9, exploration_config=ConstantExplorationConfig(0.5), summaries="all"
    )
    return Agent(model_fn, memory, model_dir, RunConfig(seed=1, progress=False, **config))


ENV = GymEnvironment(ChainEnv, num_envs=2)
ACTORS = RemoteActors(ENV, actors=2, steps=20)


class Killer(Hook):
    """Kills a process of each of these kinds, once, after so many environment steps."""

    def __init__(self, **after: int):
        self._after = after

    def after_act(self, run) -> None:
        for kind, timestep in list(self._after.items()):
            if run.timestep >= timestep:
                del self._after[kind]
                os.kill(processes(kind)[0], signal.SIGKILL)


def tags(directory: Path) -> set[str]:
    found = set()
    for file in directory.glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            found |= {value.tag for value in event.summary.value}
    return found


def test_a_run_learns_and_resumes(tmp_path: Path) -> None:
    """As many updates as in one process, the optimum of a tiny environment, and all of the memory in the resumed run."""
    agent = an_agent(tmp_path / "run", save_summary_timesteps=500)
    result = agent.train(ACTORS, first_update=200, max_timesteps=2_000)
    assert 2_000 <= result.global_timestep < 2_000 + 20 * 2 * 4
    assert result.global_step == result.global_timestep - 200
    assert agent.evaluate(ENV, 5)["mean_reward"] == pytest.approx(1.0)
    wanted = {"actors/steps_per_sec", "actors/steps_per_sec_1", "actors/weights_behind", "replay/updates_per_step"}
    assert wanted <= tags(tmp_path / "run")
    before = int(agent.memory.stored().numpy())
    assert before >= result.global_timestep

    again = an_agent(tmp_path / "run")
    resumed = again.train(ACTORS, first_update=200, max_timesteps=3_000)
    assert resumed.global_step == resumed.global_timestep - 200
    assert resumed.global_timestep >= 3_000
    assert int(again.memory.inserted.numpy()) >= max(before, resumed.global_timestep)
    three = RemoteActors(ENV, actors=3, steps=20, in_process=True)
    with pytest.raises(CheckpointMismatchError, match="actors=2 there, 3 now"):
        an_agent(tmp_path / "run").train(three, first_update=200, max_timesteps=4_000)


def test_processes_that_are_killed_begin_again(tmp_path: Path, caplog) -> None:
    memory = RemoteReplay(UniformReplay(10_000, 16), shards=1)
    agent = an_agent(tmp_path / "run", memory, save_checkpoints_timesteps=500, max_overhead=None, save_summary_timesteps=500)
    killer = Killer(Actor=600, ReplayShard=1_200)
    with caplog.at_level(logging.WARNING, "polyrl"):
        result = agent.train(ACTORS, first_update=200, max_timesteps=3_000, hooks=[killer])
    assert result.stop_reason.startswith("budget of timesteps")
    assert result.global_step == result.global_timestep - 200
    told = [record.getMessage() for record in caplog.records]
    assert [line for line in told if line.startswith("Actor")]
    assert len([line for line in told if "died, and is started again" in line]) == 2
    assert len([line for line in told if line.startswith("Shard 0 died")]) == 1
    # But for what the shard had stored since the checkpoint at 1,000, all is there: blocks waited for it.
    assert int(agent.memory.inserted.numpy()) >= 2_300
    assert agent.evaluate(ENV, 5)["mean_reward"] == pytest.approx(1.0)


class Failing(gymnasium.Wrapper):
    """Raises an error in its 60th step."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self._steps = 0

    def step(self, action):
        self._steps += 1
        if self._steps == 60:
            raise ZeroDivisionError("the robot's arm is off")
        return self.env.step(action)


def test_programs_are_placed_as_processes(tmp_path: Path) -> None:
    """With exit status, output, environment, and an end when they are asked for it, or when what placed them is gone."""
    with placed_by_ray(None, 2) as start:
        quick = start([sys.executable, "-c", "import os; print(os.environ['OMP_NUM_THREADS']); exit(3)"], tmp_path / "quick")
        slow = start([sys.executable, "-c", "import time; print('there', flush=True); time.sleep(600)"], tmp_path / "slow")
        assert quick.wait() == quick.poll() == 3
        assert (tmp_path / "quick").read_text() == "1\n"
        while not (tmp_path / "slow").exists() or (tmp_path / "slow").read_text() != "there\n":
            assert slow.poll() is None
        slow.terminate()
        assert slow.wait() == -signal.SIGTERM
        killed = start([sys.executable, "-c", "import time; time.sleep(3)"], tmp_path / "killed")
        while not (tmp_path / "killed").exists():
            assert killed.poll() is None
        (process,) = processes("Runner")  # Those of the programs that have ended are gone.
        os.kill(process, signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL


def test_programs_that_have_ended_leave_their_cores_to_others(tmp_path: Path) -> None:
    """A sweep stood still, without a word, after as many runs as there were cores."""
    with placed_by_ray(None, 1) as start:
        for number in range(CORES + 2):
            program, until = start([sys.executable, "-c", "exit(3)"], tmp_path / f"{number}"), time.monotonic() + 60
            while program.poll() is None:
                assert time.monotonic() < until, number
            assert program.poll() == 3


@pytest.mark.slow
def test_an_environment_that_fails_in_an_actor_is_told(tmp_path: Path) -> None:
    env = GymEnvironment(ChainEnv, num_envs=2, wrappers=[Failing])
    agent = an_agent(tmp_path / "run", check_env=False)
    with pytest.raises(BrokenEnvironmentError, match=r"^Actor [01] failed: \w+: .*the robot's arm is off") as raised:
        agent.train(RemoteActors(env, actors=2, steps=20), first_update=40, max_timesteps=3_000)
    assert any("saved as of its last whole step" in note for note in raised.value.__notes__)
    assert agent.checkpoints.latest() is not None


@pytest.mark.slow
def test_an_environment_that_cannot_be_made_in_an_actor_is_told(tmp_path: Path) -> None:
    here = os.getpid()

    def make() -> gymnasium.Env:
        if os.getpid() != here:
            raise OSError("there is no display")
        return ChainEnv()

    agent = an_agent(tmp_path / "run")
    with pytest.raises(BrokenEnvironmentError, match=r"Actor [01] could not begin: OSError: there is no display"):
        agent.train(RemoteActors(GymEnvironment(make, num_envs=2), actors=2), first_update=40, max_timesteps=3_000)


@pytest.mark.slow
def test_what_cannot_be_sent_to_actors_is_named(tmp_path: Path) -> None:
    lock = threading.Lock()

    def make() -> gymnasium.Env:
        with lock:
            return ChainEnv()

    with pytest.raises(TypeError, match=r"^env=.*GymEnvironment.* cannot be sent to other processes: .*pickle.*lock"):
        an_agent(tmp_path / "run").train(RemoteActors(GymEnvironment(make, num_envs=2), actors=2), max_timesteps=300)


@pytest.mark.slow
def test_what_is_shown_of_exploration_is_that_of_the_actors(tmp_path: Path) -> None:
    class Rates(Hook):
        found: ClassVar[set[float]] = set()

        def after_act(self, run) -> None:
            self.found |= {round(run.exploration_rate, 6)} if run.exploration_rate == run.exploration_rate else set()
            if len(self.found) == 2:  # One of them may begin some seconds later.
                run.request_stop("both actors have been heard of")

    agent = an_agent(tmp_path / "run")
    agent.train(ACTORS, first_update=200, max_timesteps=100_000, hooks=[Rates()])
    np.testing.assert_allclose(sorted(Rates.found), [0.5**8, 0.5], rtol=1e-4)
