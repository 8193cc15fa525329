"""A shard that is slow or stopped delays neither the learner nor the actors of others, and nothing piles up before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from actor_testing import ENVS, an_agent
from ray_testing import train_with_a_stopped_process
from tiny_envs import ChainEnv

from polyrl import GymEnvironment
from polyrl.distributed import RemoteActors, actor_loop, remote_actors
from polyrl.distributed.actor import Actor
from polyrl.distributed.local_cluster import LocalCluster
from polyrl.estimators.hooks import Hook

ENV = GymEnvironment(ChainEnv, num_envs=ENVS)


def test_a_run_goes_on_without_a_shard_that_gives_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    """What the second shard gives is held back for a while: its actor makes as many blocks as may wait for it, and no more."""
    collected: list[int] = []
    collect = Actor.collect
    held: list[Any] = []
    is_held, phases = False, []

    def noted(self: Actor) -> tuple[bytes, bytes]:
        collected.append(self._index)
        return collect(self)

    class HoldsBack(LocalCluster):
        """Keeps what the second shard gives, whose calls are still waited for."""

        def ready(self, seconds: float) -> list[tuple[Any, Any]]:
            if is_held:
                held.extend(each for each in self._waiting if each[0].name in ("insert", "sample") and each[0].process == 1)
            self._waiting, kept = [each for each in self._waiting if each not in held], list(held)
            ended = super().ready(seconds)
            self._waiting = kept if is_held else []
            held.clear()
            return ended if is_held else [*ended, *((asked, reference.value) for asked, reference in kept)]

    class Holds(Hook):
        """From 200 environment steps to 1,000."""

        def after_act(self, run: Any) -> None:
            nonlocal is_held
            was_held, is_held = is_held, 200 <= run.timestep < 1_000
            if is_held != was_held:
                phases.append(list(collected))
                collected.clear()

    monkeypatch.setattr(Actor, "collect", noted)
    monkeypatch.setattr(remote_actors, "LocalCluster", HoldsBack)
    actors = RemoteActors(ENV, actors=2, steps=10, in_process=True)
    result = an_agent(tmp_path, seed=1).train(actors, first_update=100, max_timesteps=1_400, hooks=[Holds()])
    assert result.global_step == 1_300
    assert 2 <= phases[1].count(1) <= 10
    assert phases[1].count(0) >= 800 / (10 * ENVS) - 12
    assert collected.count(1) >= 5  # It goes on afterwards.


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_run_can_be_saved_and_ended_while_the_only_shard_gives_no_batch(
    comes_back: bool, tmp_path: Path, monkeypatch: Any, caplog: Any
) -> None:
    """What it owes is waited for once, for so long; updates that are due are done later, if it comes back."""
    is_stopped, is_looking = False, False
    waits: list[int] = []  # Of each look while the shard is stopped: how often it waited for other processes.

    class Stops(LocalCluster):
        def ready(self, seconds: float) -> list[tuple[Any, Any]]:
            if is_looking and is_stopped:
                waits[-1] += seconds > 0
            kept = [each for each in self._waiting if is_stopped and each[0].name == "sample"]
            self._waiting = [each for each in self._waiting if each not in kept]
            ended = super().ready(seconds)
            self._waiting += kept
            return ended

    class Looks(Hook):
        """At what is stored, for which all updates that are due would have to be done; the shard is stopped from 200 on."""

        def after_act(self, run: Any) -> None:
            nonlocal is_stopped, is_looking
            has_waited = any(waits)
            is_stopped = run.timestep >= 200 and not (comes_back and has_waited)
            if is_stopped:
                waits.append(0)
            is_looking = True
            assert run.stored is not None
            is_looking = False
            if len(waits) >= 4 and any(waits[:-3]) and not comes_back:
                run.request_stop("enough")

    monkeypatch.setattr(remote_actors, "LocalCluster", Stops)
    monkeypatch.setattr(actor_loop, "SILENT", 0.5)
    monkeypatch.setattr(actor_loop, "LONGEST", 0.1)
    actors = RemoteActors(ENV, actors=2, steps=10, in_process=True)
    result = an_agent(tmp_path, seed=1).train(actors, first_update=100, max_timesteps=400, hooks=[Looks()])
    assert "wait, as no shard has given a batch for 0.5 seconds." in caplog.text
    told = [record.message for record in caplog.records if "no shard has given a batch" in record.message]
    assert len(told) == len(set(told))
    assert sum(wait > 0 for wait in waits) == 1
    if comes_back:
        assert (result.global_timestep, result.global_step) == (400, 300)
    else:
        assert result.stop_reason == "enough"
        assert 0 < result.global_step < result.global_timestep - 100


@pytest.mark.slow
def test_a_shard_that_is_stopped_delays_nobody(tmp_path: Path) -> None:
    """It gets no time of a core for as long as 3,000 steps take, and goes on afterwards."""
    train_with_a_stopped_process("ReplayShard", an_agent(tmp_path, seed=1), ENV)
