"""`RemoteActors`: environments that are stepped in processes of their own, of Ray, by actors with copies of the networks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from gymnasium.vector import VectorEnv

from polyrl.distributed.actor import ActorTask
from polyrl.distributed.actor_loop import ActorLoop
from polyrl.distributed.cluster import connected
from polyrl.distributed.exchange import Exchange
from polyrl.distributed.local_cluster import LocalCluster
from polyrl.distributed.remote_replay import RemoteReplay
from polyrl.engine.compiler import Compiler
from polyrl.envs import EnvDriver, open_env
from polyrl.envs.checking import check_environment
from polyrl.envs.environment import Environment
from polyrl.estimators.loops.learner import Learner
from polyrl.estimators.loops.loop import BringsLoop, Loop, UpdateSchedule
from polyrl.estimators.run_config import RunConfig
from polyrl.models.scope import stream_seed
from polyrl.validation import check_bool, check_int


class RemoteActors(Environment, BringsLoop):
    """An environment for `Agent.train` that actors step in processes of their own (Horgan et al. 2018, Ape-X).

    Each actor has `env.num_envs` environments and a copy of the networks, explores at a rung of a ladder (the rate of the
    model to the power of 1 for the first actor, up to 8 for the last one), and sends its steps in blocks to the shards of the
    agent's `RemoteReplay`. The learner learns from batches that come from there, and publishes its weights. How many updates
    there are for each step is up to `update_frequency` and `updates_at_once`, as in one process: whoever is ahead waits.

    Args:
        env: what each actor opens for itself: a `GymEnvironment`, which says how many environments it has, or another one.
        actors: processes.
        steps: steps of each environment in a block; with a `PrioritizedSequenceReplay` the next multiple of its `stride`.
        publish_every: updates between two times that the actors are given new weights.
        address: of a cluster of Ray that is there, as `ray.init` takes it; None: one of its own, on this machine.
        in_process: all in this process, one after another, without Ray: to look into what happens. A run with the same seed is
            the same run then.

    Raises:
        TypeError: if `env` is not an `Environment`.
    """

    def __init__(
        self,
        env: Environment,
        actors: int = 2,
        steps: int = 100,
        publish_every: int = 100,
        address: str | None = None,
        in_process: bool = False,
    ):
        if not isinstance(env, Environment) or isinstance(env, RemoteActors):
            raise TypeError(
                f"env={env!r} must be something that each actor can open: GymEnvironment('CartPole-v1', num_envs=4)."
            )
        self.env = env
        self.num_envs = env.num_envs
        self.actors = check_int("actors", actors, minimum=1)
        self.steps = check_int("steps", steps, minimum=1)
        self.publish_every = check_int("publish_every", publish_every, minimum=1)
        self.in_process = check_bool("in_process", in_process)
        if address is not None and in_process:
            raise ValueError(
                f"address={address!r} is of other processes, in_process=True without them; leave one of them out."
            )
        self.address = address

    def open(self, num_envs: int | None = None) -> VectorEnv:
        return self.env.open(num_envs)

    @contextlib.contextmanager
    def open_loop(
        self, learner: Learner, compiler: Compiler, schedule: UpdateSchedule, timestep: int, config: RunConfig
    ) -> Iterator[Loop]:
        memory = learner.memory
        if not isinstance(memory, RemoteReplay):
            raise ValueError(
                f"RemoteActors need a replay memory that they can reach, got a {type(memory).__name__}: give the agent "
                "RemoteReplay(memory)."
            )
        if config.overlap:
            raise ValueError("overlap=True: actors step beside the learner anyway; leave it False.")
        self._check_size(memory)
        if config.check_env:
            check_environment(self.env)
        with open_env(self.env, 1, purpose="training") as vector:
            driver = EnvDriver(vector)
            driver.reset([stream_seed(config.seed, f"environment/0/{timestep}")[0]])
            steps = self._steps(memory)
            task = ActorTask(learner.model_fn, self.env, memory.memory, config.seed, self.actors, steps, config.jit)
            shards = min(memory.shards, self.actors)
            processes: contextlib.AbstractContextManager[Any] = connected(self.address, self.actors + shards)
            with contextlib.closing(LocalCluster()) if self.in_process else processes as cluster:
                exchange = Exchange(cluster, task)
                yield ActorLoop(
                    exchange, task, driver, learner, compiler, schedule, self.num_envs, self.publish_every, config.save_replay
                )

    def _steps(self, memory: RemoteReplay) -> int:
        """Steps of each environment in a block, so that sequences begin at the same steps in each block."""
        kept: Any = memory.memory
        stride = kept.stride if kept.PRIORITIZED and kept.SEQUENCES else 1
        return -(-self.steps // stride) * stride

    def _check_size(self, memory: RemoteReplay) -> None:
        """A ValueError unless each actor's share of the memory holds a block, a batch, and the sequences of a batch."""
        kept: Any = memory.memory
        share, steps, sequence = memory.size // self.actors, self._steps(memory), 0
        if kept.SEQUENCES:
            sequence = (kept.sequence_length + getattr(kept, "stride", 1) - 1) * self.num_envs
        needed = {
            f"a block of {steps} steps of {self.num_envs} environments": steps * self.num_envs,
            f"a batch of {memory.batch_size}": memory.batch_size,
            f"a whole sequence of each of {self.num_envs} environments": sequence,
        }
        what = max(needed, key=lambda name: needed[name])
        if share < needed[what]:
            raise ValueError(
                f"size={memory.size} of the memory, divided among actors={self.actors}, are {share} transitions, too few for "
                f"{what}; use a size of at least {needed[what] * self.actors}."
            )
