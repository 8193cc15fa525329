"""The loop with actors and shards in the test's own process: all of it but processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from actor_testing import ENVS, with_loops
from tiny_agents import q_model_fn
from tiny_envs import ChainEnv

from polyrl import Agent, GymEnvironment, RunConfig
from polyrl.configs import ConstantExplorationConfig
from polyrl.demos import DemoEpisode, Demonstrations
from polyrl.distributed import RemoteActors, RemoteReplay, remote_actors
from polyrl.distributed.actor import Actor
from polyrl.distributed.actor_loop import ActorLoop
from polyrl.distributed.local_cluster import LocalCluster
from polyrl.distributed.shard import ReplayShard
from polyrl.envs.compiled import CartPole
from polyrl.estimators.hooks import Hook
from polyrl.models import DQNModel
from polyrl.networks import mlp, recurrent
from polyrl.replay import PrioritizedReplay, PrioritizedSequenceReplay, Replay, RolloutMemory, SequenceReplay, UniformReplay

ENV = GymEnvironment(ChainEnv, num_envs=ENVS)
MEMORIES: dict[str, Replay] = {
    "uniform": UniformReplay(2_000, 16),
    "n_step": UniformReplay(2_000, 16, n_step=3),
    "prioritized": PrioritizedReplay(2_000, 16, n_step=2),
}


def an_agent(model_dir: Path | None, memory: Replay, jit: str = "off", **config: Any) -> Agent:
    exploration = ConstantExplorationConfig(0.5)
    model_fn = q_model_fn(num_states=4, num_actions=2, discount=0.9, exploration_config=exploration)
    return Agent(model_fn, memory, model_dir, RunConfig(seed=1, progress=False, jit=jit, **config))


def actors(env: Any = ENV, **given: Any) -> RemoteActors:
    return RemoteActors(env, **{"actors": 2, "steps": 10, "in_process": True, **given})


def weights_of(agent: Agent) -> list[np.ndarray]:
    return [variable.numpy() for variable in agent._scope.variables]


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(
    ("kind", "jit"),
    [
        ("prioritized", "on"),
        ("uniform", "off"),
        ("n_step", "off"),
        ("uniform", "on"),
        ("n_step", "on"),
        ("prioritized", "off"),
    ],
)
def test_every_memory_learns_the_chain(kind: str, jit: str, tmp_path: Path) -> None:
    agent = an_agent(tmp_path, RemoteReplay(MEMORIES[kind], shards=2), jit)
    result = agent.train(actors(), first_update=100, max_timesteps=2_000)
    assert result.global_step == result.global_timestep - 100
    assert agent.evaluate(ENV, 5)["mean_reward"] == pytest.approx(1.0)


def test_the_same_seed_is_the_same_run(tmp_path: Path) -> None:
    found = []
    for name in "ab":
        agent = an_agent(tmp_path / name, RemoteReplay(MEMORIES["prioritized"]))
        agent.train(actors(), first_update=100, max_timesteps=400)
        found.append(weights_of(agent))
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(("frequency", "at_once"), [(7, 3), (40, 50), (1, 1), (4, 1)])
def test_there_are_as_many_updates_as_the_schedule_says(frequency: int, at_once: int, tmp_path: Path) -> None:
    agent = an_agent(tmp_path, RemoteReplay(UniformReplay(2_000, 16)))
    result = agent.train(actors(), first_update=100, update_frequency=frequency, updates_at_once=at_once, max_timesteps=640)
    assert result.global_timestep == 640
    assert result.global_step == at_once * (640 // frequency - 100 // frequency)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("first_update", [110, 101, 119])
def test_all_may_be_up_to_date_where_the_first_update_is_due(first_update: int, tmp_path: Path, monkeypatch) -> None:
    """A hook asks for it after each block of 20 steps, in one of which the first update is due: batches are asked for then."""
    looks: list[float] = []
    look = ActorLoop._look

    def counted(loop: ActorLoop, seconds: float) -> None:
        looks.append(seconds)
        assert len(looks) < 2_000, "The run waits for batches that nobody asks for."
        look(loop, seconds)

    class Looks(Hook):
        """At what is stored, for which all updates that are due have to be done."""

        def after_act(self, run: Any) -> None:
            assert run.stored is not None
            assert run.step == max(run.timestep - first_update, 0)

    monkeypatch.setattr(ActorLoop, "_look", counted)
    agent = an_agent(tmp_path, RemoteReplay(UniformReplay(2_000, 16)))
    result = agent.train(actors(), first_update=first_update, max_timesteps=160, hooks=[Looks()])
    assert result.global_step == 160 - first_update


class StoresLate(LocalCluster):
    """Gives the answers to the first blocks late, as shards that compile what stores a block, and errors before them."""

    looks = 0

    def ready(self, seconds: float) -> list[tuple[Any, Any]]:
        self.looks += 1
        asked_late = [each for each in self._waiting if each[0].name == "insert" and self.looks < 200]
        late = asked_late + [each for each in self._waiting if isinstance(each[1].value, Exception) and self.looks < 100]
        self._waiting = [each for each in self._waiting if each not in late]
        ended = super().ready(seconds)
        self._waiting += late
        return ended


def test_updates_wait_for_a_shard_that_stores_its_first_block(tmp_path: Path, monkeypatch) -> None:
    """As long as all steps of the run take: no update that is due is left out."""
    monkeypatch.setattr(remote_actors, "LocalCluster", StoresLate)
    given = actors(steps=5)
    loops = with_loops(given)
    result = an_agent(tmp_path, RemoteReplay(MEMORIES["uniform"])).train(given, first_update=20, max_timesteps=60)
    assert loops[0]._exchange._cluster.looks >= 200
    assert (result.global_timestep, result.global_step) == (60, 40)


def test_an_actor_that_fails_in_the_last_flush_leaves_no_update_out(tmp_path: Path, monkeypatch) -> None:
    """All steps have been counted by then, and what they are to be learned from comes late."""
    calls, failures = 0, list[Any]()
    collect, flush = Actor.collect, ActorLoop.flush

    def fails(actor: Actor) -> Any:
        nonlocal calls
        calls += 1
        if calls > 6:  # Those that the run needs.
            raise ValueError("The sensor is broken.")
        return collect(actor)

    def noted(loop: ActorLoop) -> Any:
        before = loop._exchange.failure
        found = flush(loop)
        failures.append((before, loop._exchange.failure))
        return found

    monkeypatch.setattr(remote_actors, "LocalCluster", StoresLate)
    monkeypatch.setattr(Actor, "collect", fails)
    monkeypatch.setattr(ActorLoop, "flush", noted)
    agent = an_agent(tmp_path, RemoteReplay(MEMORIES["uniform"]))
    result = agent.train(actors(steps=5), first_update=20, max_timesteps=60)
    assert (result.global_timestep, result.global_step) == (60, 40)
    assert any(before is None and "The sensor is broken." in str(after) for before, after in failures)


def test_updates_that_nothing_is_left_for_are_told(tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(ReplayShard, "insert", lambda self, block: self.status())
    result = an_agent(tmp_path, RemoteReplay(MEMORIES["uniform"])).train(actors(), first_update=20, max_timesteps=60)
    assert result.global_step == 0
    assert "40 updates are due after 60 environment steps and wait, as no shard has anything to learn from." in caplog.text


def test_a_budget_of_updates_is_kept(tmp_path: Path) -> None:
    agent = an_agent(tmp_path, RemoteReplay(UniformReplay(2_000, 16)))
    assert agent.train(actors(), first_update=100, max_steps=77).global_step == 77
    assert agent.train(actors(), first_update=100, steps=5).global_step == 82


def test_what_the_learner_alone_counts_is_not_among_the_weights_of_actors(tmp_path: Path) -> None:
    model_fn = q_model_fn(num_states=4, num_actions=2, target_update_timesteps=100)
    agent = Agent(model_fn, RemoteReplay(UniformReplay(2_000, 16)), tmp_path, RunConfig(progress=False))
    assert agent.train(actors(), first_update=100, max_timesteps=400).global_step == 300
    assert agent._scope.parts["Model/target_periods"].ended.numpy() == 4


def test_a_resumed_run_has_what_the_shards_had(tmp_path: Path) -> None:
    agent = an_agent(tmp_path, RemoteReplay(MEMORIES["prioritized"], shards=2))
    first = agent.train(actors(), first_update=100, max_timesteps=600)
    stored = int(agent.memory.inserted.numpy())
    assert stored >= 600
    # Divided among another number of shards.
    again = an_agent(tmp_path, RemoteReplay(MEMORIES["prioritized"], shards=1))
    second = again.train(actors(), first_update=100, max_timesteps=800)
    assert second.global_timestep == 800
    assert second.global_step == first.global_step + second.global_timestep - first.global_timestep
    assert int(again.memory.inserted.numpy()) >= stored + 200


def test_without_the_memory_updates_wait_for_it(tmp_path: Path) -> None:
    agent = an_agent(tmp_path, RemoteReplay(UniformReplay(2_000, 16)), save_replay=False)
    first = agent.train(actors(), first_update=100, max_timesteps=300)
    again = an_agent(tmp_path, RemoteReplay(UniformReplay(2_000, 16)), save_replay=False)
    second = again.train(actors(), first_update=100, max_timesteps=600)
    assert second.global_step == first.global_step + 600 - first.global_timestep - 100


def test_weights_are_published(tmp_path: Path) -> None:
    """What actors act with comes from updates, at most those of a publication and of the blocks ahead behind."""

    class Versions(Hook):
        found: list[int]

        def begin(self, run: Any) -> None:
            self.found = []

        def after_act(self, run: Any) -> None:
            self.found.append(int(loops[0]._exchange.versions.min()))

    given = actors(publish_every=50)
    loops = with_loops(given)
    agent, versions = an_agent(tmp_path, RemoteReplay(UniformReplay(2_000, 16))), Versions()
    result = agent.train(given, first_update=100, max_timesteps=1_000, hooks=[versions])
    assert versions.found[0] == 0
    assert versions.found == sorted(versions.found)
    assert result.global_step - versions.found[-1] <= 50 + 32 + 2 * 2 * 10 * ENVS


def recurrent_model_fn(features: Any, labels: Any, mode: str) -> Any:
    def torso(mode: str, inputs: Any) -> Any:
        return mlp([8])(mode, inputs)

    return DQNModel(mode, recurrent(torso, 8, "gru"), 4, 2, discount=0.9)(features, labels)


@pytest.mark.parametrize(
    "memory",
    [
        pytest.param(SequenceReplay(400, 16, sequence_length=4), marks=pytest.mark.slow),
        PrioritizedSequenceReplay(400, 16, sequence_length=4),
    ],
    ids=lambda memory: type(memory).__name__,
)
def test_recurrent_networks_learn_from_sequences(memory: Replay, tmp_path: Path) -> None:
    agent = Agent(recurrent_model_fn, RemoteReplay(memory), tmp_path, RunConfig(seed=1, progress=False, jit="off"))
    result = agent.train(actors(), first_update=100, max_timesteps=400)
    assert result.global_step == 300
    assert np.isfinite(agent.evaluate(ENV, 2)["mean_reward"])


# What is refused. ---------------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="must be something that each actor can open"):
        RemoteActors(ChainEnv())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be something that each actor can open"):
        RemoteActors(CartPole(2))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a replay memory of one process"):
        RemoteReplay(RemoteReplay(UniformReplay(100, 4)))
    with pytest.raises(ValueError, match="rollouts are learned from while they are the newest"):
        RemoteReplay(RolloutMemory(64, 16))
    episode = DemoEpisode(np.zeros([3, 4], np.float32), np.zeros(2, np.int32), np.zeros(2, np.float32), True, False)
    with pytest.raises(ValueError, match="demonstrations are not supported"):
        RemoteReplay(UniformReplay(100, 4, demonstrations=Demonstrations([episode], "mine")))
    with pytest.raises(ValueError, match="leave one of them out"):
        actors(address="127.0.0.1:6379")
    with pytest.raises(ValueError, match="give the agent RemoteReplay"):
        an_agent(tmp_path / "a", UniformReplay(100, 4)).train(actors(), max_timesteps=100)
    with pytest.raises(ValueError, match="RemoteReplay is for a run with"):
        an_agent(tmp_path / "b", RemoteReplay(UniformReplay(100, 4))).train(ENV, max_timesteps=100)
    with pytest.raises(ValueError, match="use a size of at least 40"):
        an_agent(tmp_path / "c", RemoteReplay(UniformReplay(30, 4))).train(actors(), max_timesteps=100)
    with pytest.raises(ValueError, match="overlap=True"):
        an_agent(tmp_path / "d", RemoteReplay(UniformReplay(100, 4)), overlap=True).train(actors(), max_timesteps=100)
    assert not list(tmp_path.glob("*/checkpoints/ckpt*"))
