"""Processes that die while nobody waits for anything of them; and all shards, before there is a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from actor_testing import ENVS, an_agent, with_loops
from tiny_envs import ChainEnv

from polyrl import GymEnvironment
from polyrl.distributed import RemoteActors
from polyrl.distributed.actor import Actor
from polyrl.distributed.cluster import NotBegunError
from polyrl.distributed.lives import Process
from polyrl.distributed.local_cluster import LocalCluster
from polyrl.distributed.shard import ReplayShard
from polyrl.distributed.statuses import Statuses
from polyrl.errors import BrokenEnvironmentError
from polyrl.estimators.hooks import Hook


def two_actors() -> RemoteActors:
    return RemoteActors(GymEnvironment(ChainEnv, num_envs=ENVS), actors=2, steps=10, in_process=True)


def test_a_run_goes_on_whose_memory_is_gone(tmp_path: Path, monkeypatch: Any) -> None:
    """Played in one process: each shard forgets what it holds, and says so."""
    shards: list[ReplayShard] = []
    init = ReplayShard.__init__

    def kept(self: ReplayShard, *arguments: Any) -> None:
        init(self, *arguments)
        self.arguments = arguments  # type: ignore[attr-defined]
        shards.append(self)

    monkeypatch.setattr(ReplayShard, "__init__", kept)
    given = two_actors()
    loops = with_loops(given)

    class Forgets(Hook):
        done = False

        def after_act(self, run: Any) -> None:
            # As many updates are due as a chunk has: no step is counted before they are done.
            if run.timestep >= 200 and loops[0]._behind >= 40 and not self.done:
                self.done = True
                exchange = loops[0]._exchange
                exchange.chunks.clear()
                waiting = exchange._cluster._waiting
                waiting[:] = [each for each in waiting if each[0].name not in ("sample", "insert")]
                for index, shard in enumerate(list(shards)):
                    init(shard, *shard.arguments)  # type: ignore[attr-defined]
                    exchange._lives.begin_another(Process("shard", index))
                    exchange._down.add(index)
                    exchange._revive(index)

    agent = an_agent(tmp_path)
    forgets = Forgets()
    result = agent.train(given, first_update=100, updates_at_once=4, max_timesteps=400, hooks=[forgets])
    assert forgets.done
    assert result.global_timestep >= 400
    assert result.global_step == 4 * (result.global_timestep - 100)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(
    ("kind", "with_checkpoint"), [(ReplayShard, True), (Actor, False), (ReplayShard, False), (Actor, True)]
)
def test_a_death_that_nobody_sees_is_noticed(kind: type, with_checkpoint: bool, tmp_path: Path, monkeypatch: Any) -> None:
    """What was made again by Ray, while nothing was asked of it, knows nothing: it begins again before it is used."""
    made: list[tuple[Any, tuple[Any, ...]]] = []
    init = kind.__init__  # type: ignore[misc]

    def kept(self: Any, *arguments: Any) -> None:
        init(self, *arguments)
        made.append((self, arguments))

    monkeypatch.setattr(kind, "__init__", kept)
    given = two_actors()
    loops = with_loops(given)

    class Forgets(Hook):
        at: int | None = None

        def after_act(self, run: Any) -> None:
            if self.at is None and run.timestep >= 400:
                self.at = run.timestep
                process, arguments = made[1]
                process.__dict__.clear()
                init(process, *arguments)

    agent = an_agent(tmp_path, save_checkpoints_timesteps=200 if with_checkpoint else 100_000)
    forgets = Forgets()
    result = agent.train(given, first_update=100, max_timesteps=1_000, hooks=[forgets])
    exchange = loops[0]._exchange
    assert forgets.at is not None
    assert exchange.restarts == 1
    assert result.global_step == result.global_timestep - 100
    assert sum(status["left_out"] for status in exchange.statuses.newest) == 0
    # Of the second actor all but what was on its way when something died is there, or was before the last checkpoint.
    stored = result.global_timestep - sum(status["stored"] for status in exchange.statuses.newest)
    if kind is ReplayShard:
        assert 0 < exchange.statuses.lost_transitions <= (200 if with_checkpoint else 400)
        assert stored <= exchange.statuses.lost_transitions + 10 * ENVS * 8
    else:
        assert exchange.statuses.lost_transitions == 0
        assert stored <= 10 * ENVS * 4


@pytest.mark.parametrize("failing", [{0}, {0, 1}])
def test_what_was_counted_is_learned_from_other_shards_than_the_one_that_failed(
    failing: set[int], tmp_path: Path, monkeypatch: Any
) -> None:
    samples, sample = 0, ReplayShard.sample

    def fails(shard: ReplayShard, count: int, step: int) -> Any:
        nonlocal samples
        samples += 1
        if samples > 4 and shard._index in failing:
            raise ValueError("The disk is full.")
        return sample(shard, count, step)

    monkeypatch.setattr(ReplayShard, "sample", fails)
    given = two_actors()
    agent = an_agent(tmp_path)
    with pytest.raises(BrokenEnvironmentError, match=r"Shard [01] failed: .*The disk is full"):
        agent.train(given, first_update=100, max_timesteps=2_000)
    step, timestep = int(agent._scope.global_step.numpy()), int(agent._scope.global_timestep.numpy())
    assert timestep < 1_000
    assert step == timestep - 100 if failing == {0} else 0 < step < timestep - 100


def test_a_run_ends_by_the_failure_of_one_actor_though_another_works(tmp_path: Path, monkeypatch: Any) -> None:
    calls, collect = 0, Actor.collect

    def fails(actor: Actor) -> Any:
        nonlocal calls
        calls += 1
        if calls > 10 and actor._index == 1:
            raise ValueError("The sensor is broken.")
        return collect(actor)

    monkeypatch.setattr(Actor, "collect", fails)
    given = two_actors()
    agent = an_agent(tmp_path, shards=1)
    with pytest.raises(BrokenEnvironmentError, match=r"Actor 1 failed: .*The sensor is broken"):
        agent.train(given, first_update=100, max_timesteps=2_000)
    assert 200 <= int(agent._scope.global_timestep.numpy()) < 400
    assert agent._scope.global_step.numpy() == agent._scope.global_timestep.numpy() - 100


def test_a_shard_that_does_not_answer_costs_a_checkpoint(tmp_path: Path, monkeypatch: Any, caplog: Any) -> None:
    asked: list[float] = []

    def answered(cluster: LocalCluster, reference: Any, seconds: float) -> bool:
        asked.append(seconds)
        return len(asked) not in {2, 5}  # The second shard is stopped at the first checkpoint, the first one at the third.

    monkeypatch.setattr(LocalCluster, "wait_for", answered)
    given = two_actors()
    agent = an_agent(tmp_path, save_checkpoints_timesteps=200, max_overhead=None)
    assert agent.train(given, first_update=100, max_timesteps=900).global_step == 800
    written = sorted(int(path.name.removeprefix("ckpt-")) for path in (tmp_path / "checkpoints").iterdir())
    assert [timestep // 200 for timestep in written] == [2, 4, 4]
    assert agent.checkpoints.latest().name == "ckpt-000000900"
    assert "Replay shard 1 has not answered for 60 seconds." in caplog.text
    assert "Replay shard 0 has not answered for 60 seconds." in caplog.text
    assert all(59.0 < seconds <= 60.0 for seconds in asked)


@pytest.mark.parametrize("method", ["restore", "batch_specs"])
def test_a_shard_may_die_before_the_run_begins(method: str, tmp_path: Path, monkeypatch: Any) -> None:
    given = two_actors()
    assert an_agent(tmp_path).train(given, first_update=100, max_timesteps=400).global_step == 300
    original, deaths = getattr(ReplayShard, method), 0

    def dies(shard: ReplayShard, *arguments: Any) -> Any:
        nonlocal deaths
        if deaths < 3:
            deaths += 1
            raise NotBegunError("It was killed, and knows nothing of what it was asked for.")
        return original(shard, *arguments)

    monkeypatch.setattr(ReplayShard, method, dies)
    loops, again = with_loops(given), an_agent(tmp_path)
    assert again.train(given, first_update=100, max_timesteps=600).global_step == 500
    assert deaths == 3
    assert loops[-1]._exchange.statuses.lost_transitions == 0
    assert int(again.memory.inserted.numpy()) >= 600


@pytest.mark.parametrize("unanswered", [False, True])
def test_the_last_checkpoint_is_written_whatever_becomes_of_a_shard(
    unanswered: bool, tmp_path: Path, monkeypatch: Any, caplog: Any
) -> None:
    """It begins again if it has died just then; if it does not answer, the checkpoint is written without the memory."""
    save, deaths = ReplayShard.save, 0

    def dies(shard: ReplayShard, directory: str) -> bytes:
        nonlocal deaths
        if not unanswered and shard._index == 1 and deaths < 2:
            deaths += 1
            raise NotBegunError("It was killed.")
        return save(shard, directory)

    monkeypatch.setattr(ReplayShard, "save", dies)
    monkeypatch.setattr(LocalCluster, "wait_for", lambda *_: not unanswered)
    given = two_actors()
    result = an_agent(tmp_path).train(given, first_update=100, max_timesteps=400)
    assert (result.global_step, result.checkpoint.name) == (300, "ckpt-000000400")
    assert (result.checkpoint / "replay").is_dir() is not unanswered
    warning = "The checkpoint is written without the replay memory: Replay shard 0 has not answered for 60 seconds."
    assert (warning in caplog.text) is unanswered
    second = an_agent(tmp_path).train(given, first_update=100, max_timesteps=800)
    # Without its memory a run waits for it as at its beginning.
    assert second.global_step == 300 + 400 - (100 if unanswered else 0)


def test_what_is_lost_and_late_is_counted_over_the_lives_of_a_shard() -> None:
    statuses = Statuses(2)
    for stored, inserted, dropped, left_out in [(2_000, 50_000, 4, 1), (2_000, 100_000, 7, 3)]:
        statuses.note(0, {"stored": stored, "inserted": inserted, "dropped": dropped, "left_out": left_out, "ready": True})
    assert (statuses.lost_transitions, statuses.late_priorities, statuses.left_out) == (0, 7, 3)
    # It has what was in a checkpoint at 99,500: of the 2,000 that it held 500 are new.
    statuses.note(0, {"stored": 2_000, "inserted": 99_500, "dropped": 0, "left_out": 0, "ready": True}, begins=True)
    assert statuses.lost_transitions == 500
    statuses.note(0, {"stored": 2_000, "inserted": 120_000, "dropped": 2, "left_out": 1, "ready": True})
    statuses.note(1, {"stored": 300, "inserted": 300, "dropped": 1, "left_out": 0, "ready": True})
    assert (statuses.stored, statuses.inserted, statuses.ready) == (2_300, 120_300, {0, 1})
    statuses.note(0, {"stored": 0, "inserted": 0, "dropped": 0, "left_out": 0, "ready": False}, begins=True)
    assert (statuses.lost_transitions, statuses.late_priorities, statuses.left_out) == (2_500, 10, 4)
    assert (statuses.stored, statuses.inserted, statuses.ready) == (300, 300, {1})
