"""An actor that is slow, stopped or cut off delays nobody, and nothing piles up before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from actor_testing import ENVS
from ray_testing import train_with_a_stopped_process
from tiny_agents import q_model_fn
from tiny_envs import ChainEnv

from polyrl import Agent, GymEnvironment, RunConfig, UniformReplay
from polyrl.distributed import RemoteActors, RemoteReplay, remote_actors
from polyrl.distributed.actor import Actor
from polyrl.distributed.exchange import MOST_WEIGHTS
from polyrl.distributed.local_cluster import LocalCluster
from polyrl.distributed.wire import unpack
from polyrl.estimators.hooks import Hook

ENV = GymEnvironment(ChainEnv, num_envs=ENVS)


def an_agent(model_dir: Path) -> Agent:
    model_fn = q_model_fn(num_states=4, num_actions=2)
    return Agent(model_fn, RemoteReplay(UniformReplay(5_000, 16)), model_dir, RunConfig(seed=1, progress=False, jit="off"))


def test_weights_do_not_pile_up_before_an_actor_that_gives_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    """Its blocks are held back for a while: it is sent two publications then, and the newest one after its next block."""
    given: list[tuple[int, int]] = []
    set_weights = Actor.set_weights
    held: list[Any] = []
    is_held, phases = False, []

    def noted(self: Actor, weights: bytes) -> None:
        set_weights(self, weights)
        given.append((self._index, int(unpack(weights)[1]["version"])))

    class HoldsBack(LocalCluster):
        """Keeps the blocks of the second actor."""

        def ready(self, seconds: float) -> list[tuple[Any, Any]]:
            ended = super().ready(seconds)
            if is_held:
                held.extend(each for each in ended if each[0].name == "collect" and each[0].process == 1)
                return [each for each in ended if each not in held]
            ended, held[:] = [*held, *ended], []
            return ended

    class Holds(Hook):
        """From 200 environment steps to 600."""

        def after_act(self, run: Any) -> None:
            nonlocal is_held
            was_held, is_held = is_held, 200 <= run.timestep < 600
            if is_held != was_held:
                phases.append(list(given))
                given.clear()

    monkeypatch.setattr(Actor, "set_weights", noted)
    monkeypatch.setattr(remote_actors, "LocalCluster", HoldsBack)
    actors = RemoteActors(ENV, actors=2, steps=10, publish_every=20, in_process=True)
    result = an_agent(tmp_path).train(actors, first_update=100, max_timesteps=800, hooks=[Holds()])
    assert result.global_step == 700
    first, second = ([version for index, version in phases[1] if index == which] for which in (0, 1))
    assert len(first) > 10
    assert 1 <= len(second) <= MOST_WEIGHTS  # The others of them were sent before.
    assert second == first[: len(second)]
    newest = next(version for index, version in given if index == 1)
    assert newest == first[-1]


@pytest.mark.slow
def test_an_actor_that_is_stopped_delays_nobody(tmp_path: Path) -> None:
    """It gets no time of a core for as long as 3,000 steps take, and goes on afterwards."""
    train_with_a_stopped_process("Actor", an_agent(tmp_path), ENV)
