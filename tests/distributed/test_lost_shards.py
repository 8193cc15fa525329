"""All shards die before there is a checkpoint: the learner has nothing to learn from, and must not wait for it for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actor_testing import ENVS, with_loops
from tiny_agents import q_model_fn
from tiny_envs import ChainEnv

from polyrl import Agent, GymEnvironment, RunConfig, UniformReplay
from polyrl.distributed import RemoteActors, RemoteReplay
from polyrl.distributed.shard import ReplayShard
from polyrl.estimators.hooks import Hook


def test_a_run_goes_on_whose_memory_is_gone(tmp_path: Path, monkeypatch: Any) -> None:
    """Played in one process: each shard forgets what it holds, and says so."""
    shards: list[ReplayShard] = []
    init = ReplayShard.__init__

    def kept(self: ReplayShard, *arguments: Any) -> None:
        init(self, *arguments)
        self.arguments = arguments  # type: ignore[attr-defined]
        shards.append(self)

    monkeypatch.setattr(ReplayShard, "__init__", kept)
    given = RemoteActors(GymEnvironment(ChainEnv, num_envs=ENVS), actors=2, steps=10, in_process=True)
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
                    exchange._lives["shard", index] += 1
                    exchange._down.add(index)
                    exchange._revive(index)

    model_fn = q_model_fn(num_states=4, num_actions=2)
    agent = Agent(model_fn, RemoteReplay(UniformReplay(2_000, 16), shards=2), tmp_path, RunConfig(progress=False, jit="off"))
    forgets = Forgets()
    result = agent.train(given, first_update=100, updates_at_once=4, max_timesteps=400, hooks=[forgets])
    assert forgets.done
    assert result.global_timestep >= 400
    assert result.global_step == 4 * (result.global_timestep - 100)
