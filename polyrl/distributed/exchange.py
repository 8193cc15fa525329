"""`Exchange`: what the learner asks of actors and shards, what they give, and what becomes of those that die."""

from __future__ import annotations

import collections
import logging
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from polyrl.distributed.actor import Actor, ActorTask
from polyrl.distributed.blocks import Report
from polyrl.distributed.chunks import AHEAD, Chunk, Turns, next_shard
from polyrl.distributed.cluster import Asked, Cluster
from polyrl.distributed.lives import PATIENCE, Lives, Process
from polyrl.distributed.local_cluster import LocalCluster
from polyrl.distributed.remote_errors import first_line, last_raised, never_began, raised
from polyrl.distributed.saving import ShardDiedError, save_shards
from polyrl.distributed.shard import ReplayShard, ShardTask
from polyrl.distributed.statuses import Statuses
from polyrl.distributed.wire import pack, unpack
from polyrl.errors import BrokenEnvironmentError

logger = logging.getLogger("polyrl")

REPLAY = "replay"
"""The directory of a checkpoint that holds the shards' memories."""

MOST_WEIGHTS = 2
"""Publications that an actor is sent between two of its reports: more would pile up before one that is slow or cut off."""

UNSTORED = 8
"""Blocks of an actor that may wait for their shard."""

OF_ACTORS = ("begin", "collect", "weights")
"""What actors are asked for; all else is asked of shards."""


class Exchange:
    """The processes of a run. Whatever dies is started again by Ray; what it had and nobody else has is lost, and counted.

    Args:
        cluster: where they run.
        task: of the actors.

    Attributes:
        reports: of blocks, in the order in which they came.
        chunks: of batches, in the order in which they came.
        statuses: what shards have said, and lost.
        saved: the directory of the newest checkpoint that the shards have written; None: there is none.
        restarts: how often a process began again.
        failure: what an environment of an actor raised, or that a process dies again and again: the run is to end by it.
        rates: of each actor, the environment steps in each second of its newest block.
        versions: of each actor, the updates that its weights come from.
    """

    def __init__(self, cluster: Cluster | LocalCluster, task: ActorTask):
        self._cluster, self._task = cluster, task
        self._weights: Any = None  # Until actors are told to begin.
        self._actors: list[Any] = []
        self._since = np.zeros(task.actors, np.int64)  # Publications since each actor's last report, sent to it or not.
        self._shards: list[Any] = []
        self.reports: collections.deque[Report] = collections.deque()
        self.chunks: collections.deque[Chunk] = collections.deque()
        self.statuses = Statuses(0)  # Until they are started.
        self.saved: Path | None = None
        self._lost_blocks = self.restarts = 0
        self.rates = np.zeros(task.actors)
        self.versions = np.zeros(task.actors, np.int64)
        self.failure: BrokenEnvironmentError | None = None
        self._turns = Turns()
        self._down: set[int] = set()  # Shards that have died, and have not begun again yet.
        self._lost: set[int] = set()  # Those that have failed: they are not asked for batches any more.
        self._lives = Lives()
        self._held: collections.Counter[int] = collections.Counter()  # Blocks that actors are not asked for yet.

    # Begin and end. -----------------------------------------------------------------------------------------------------

    def start_shards(self, task: ShardTask, shards: int) -> Any:
        """Starts them; gives the form of their batches."""
        of_shard = [list(range(index, task.actors, shards)) for index in range(shards)]
        self._shards = [self._cluster.start(ReplayShard, task, index, actors) for index, actors in enumerate(of_shard)]
        self.statuses = Statuses(shards)
        for shard in self._shards:
            shard.begin.remote()
        while True:
            try:
                return self._cluster.get(self._shards[0].batch_specs.remote())
            except self._cluster.DIED as error:
                self._revived(0, error)

    def start_actors(self) -> None:
        """Starts them; they wait for `begin`."""
        self._actors = [self._cluster.start(Actor, self._task, index) for index in range(self._task.actors)]

    def begin(self, timestep: int, weights: bytes) -> None:
        """Has all actors begin, with these weights, and step their environments from then on."""
        self._timestep, self._weights = timestep, self._cluster.put(weights)
        for index in range(len(self._actors)):
            self._begin(index)

    def publish(self, weights: bytes) -> None:
        """Gives all actors new weights, which those that begin again later begin with.

        An actor that has been sent `MOST_WEIGHTS` and has given no block since gets the newest ones after its next block.
        """
        self._weights = self._cluster.put(weights)
        for index in range(len(self._actors)):
            if self._since[index] < MOST_WEIGHTS:
                self._send_weights(index)
            self._since[index] += 1

    def _send_weights(self, index: int) -> None:
        actor = Process("actor", index)
        if not self._lives.waits(actor):  # It would begin with the newest ones.
            call = self._actors[index].set_weights.remote(self._weights)
            self._cluster.expect(call, Asked("weights", index, self._lives.of(actor)))

    def save(self, directory: Path) -> None:
        """Has each shard write its memories below a directory, once those that died have begun again; see `save_shards`."""
        while True:
            try:
                for index, status in enumerate(save_shards(self._cluster, self._shards, directory)):
                    self.statuses.note(index, status)
                return
            except ShardDiedError as error:
                self._revived(error.shard, error.__cause__ or error)
                shutil.rmtree(directory, ignore_errors=True)

    def restore(self, directory: Path) -> None:
        """Has each shard read what `save` wrote."""
        self.saved = directory
        for index, call in enumerate([shard.restore.remote(str(directory)) for shard in self._shards]):
            try:
                self.statuses.note(index, unpack(self._cluster.get(call))[1], begins=True)
            except self._cluster.DIED as error:
                self._revived(index, error)

    def _revived(self, shard: int, error: BaseException) -> None:
        """Waits for a shard that has died."""
        process = Process("shard", shard)
        self._after_death(process, Asked("restore", shard, self._lives.of(process)), error)
        while shard in self._down - self._lost:
            self.look(PATIENCE)
        if shard in self._lost and self.failure is not None:
            raise self.failure

    # While it runs. -----------------------------------------------------------------------------------------------------

    def look(self, seconds: float) -> None:
        """Takes what has been given, and waits for it up to some seconds."""
        for process in self._lives.due():
            (self._begin if process.kind == "actor" else self._revive)(process.number)
        for asked, result in self._cluster.ready(seconds):
            process = _process(asked)
            if isinstance(result, self._cluster.DIED):
                self._after_death(process, asked, result)
            elif isinstance(result, BaseException):
                self._fail(process, f"failed: {raised(result)}", result)
            elif asked.name != "weights":  # These are waited for only as they may tell of a death.
                if asked.name not in ("begin", "revive"):
                    self._lives.note_work(process)
                self._take(process, asked, result)

    @property
    def lost_blocks(self) -> int:
        """Blocks that no shard has: they were being made by an actor that died, or were meant for a shard that did."""
        return self._lost_blocks + self.statuses.left_out

    @property
    def is_whole(self) -> bool:
        """Whether no shard is to begin again."""
        return not self._down - self._lost

    def ask_after(self, report: Report) -> None:
        """Has the actor of a report make another block, unless it has died since: then it has begun again with its own.

        Where its shard has not stored `UNSTORED` of its blocks yet, it is asked once the shard has: more would pile up.
        """
        actor = report.about["actor"]
        if report.life != self._lives.of(Process("actor", actor)):
            return
        if sum(asked.what == actor for asked in self._cluster.waiting("insert")) < UNSTORED:
            self._ask_for_blocks(actor, 1)
        else:
            self._held[actor] += 1

    def _ask_for_blocks(self, actor: int, blocks: int) -> None:
        if self.failure is not None:
            return  # The run ends after what is on its way.
        life = self._lives.of(Process("actor", actor))
        for _ in range(blocks):
            report, block = self._actors[actor].collect.options(num_returns=2).remote()
            self._cluster.expect(report, Asked("collect", actor, life, block))

    @property
    def has_batches(self) -> bool:
        """Whether there is a chunk, or one may come: also from a shard that stores its first block, or begins again, but not
        where all have, and none has anything."""
        coming = self._cluster.waiting("sample") or self._cluster.waiting("insert")
        return bool(self.chunks or coming or self._ready() or self._down - self._lost)

    def _ready(self) -> list[int]:
        """The shards that can be asked for batches."""
        return sorted(self.statuses.ready - self._down - self._lost)

    def ask_for_batches(self, count: int, step: int) -> None:
        """Has shards make chunks of `count` batches, so that there is always one to go on with; see `next_shard`."""
        while True:
            now, waiting = time.monotonic(), self._cluster.waiting("sample")
            index = next_shard(self._ready(), waiting, len(self.chunks), self._turns, now)
            if index is None:
                return
            asked = Asked("sample", index, self._lives.of(Process("shard", index)), self._turns.ask(index, now))
            self._cluster.expect(self._shards[index].sample.remote(count, step), asked)

    def send_priorities(self, chunk: Chunk, priorities: np.ndarray) -> None:
        """Gives the shard of a chunk the priorities `[chunk, B]` of its rows."""
        self._shards[chunk.shard].update_priorities.remote(pack({"priorities": priorities}, {"sample": chunk.sample}))

    def _take(self, process: Process, asked: Asked, result: Any) -> None:
        is_present = asked.life == self._lives.of(process)
        if asked.name == "collect":
            outcomes, about = unpack(result)
            self.rates[asked.process] = about["timesteps"] / max(about["seconds"], 1e-9)
            self.versions[asked.process] = about["version"]
            self.reports.append(Report(outcomes, about, time.monotonic(), asked.life))
            if is_present:
                if self._since[asked.process] > MOST_WEIGHTS:
                    self._send_weights(asked.process)
                self._since[asked.process] = 0
            shard = asked.process % len(self._shards)
            if is_present and shard not in self._down:
                inserted = Asked("insert", shard, self._lives.of(Process("shard", shard)), asked.process)
                self._cluster.expect(self._shards[shard].insert.remote(asked.what), inserted)
            else:
                self._lost_blocks += 1
        elif not is_present:  # Of a shard that has died since, or had not read yet what it wrote; or of an actor's begin.
            self._lost_blocks += asked.name == "insert"
        elif asked.name == "begin":
            self._ask_for_blocks(asked.process, AHEAD)
        elif asked.name == "sample":
            batches, about = unpack(result)
            self._turns.came = max(self._turns.came, asked.what.number)
            self.chunks.append(Chunk(asked.process, batches, about["sample"], time.monotonic()))
        else:
            self.statuses.note(asked.process, unpack(result)[1], begins=asked.name == "revive")
            if asked.name == "insert" and self._held[asked.what] and not self._lives.waits(Process("actor", asked.what)):
                self._held[asked.what] -= 1
                self._ask_for_blocks(asked.what, 1)
            if asked.name == "revive":
                self._down.discard(asked.process)
                # What its actors do next does not follow what it has: they begin new episodes.
                for actor in range(asked.process, len(self._actors), len(self._shards)):
                    if self._weights is not None and not self._lives.waits(Process("actor", actor)):
                        self._lives.begin_another(Process("actor", actor))
                        self._begin(actor)

    def _after_death(self, process: Process, asked: Asked, error: BaseException) -> None:
        """Has a process that Ray starts again begin where it can."""
        self._lost_blocks += asked.name in ("collect", "insert")
        if asked.life != self._lives.of(process):
            return  # Known already, by another of its calls.
        if never_began(error):  # Ray does not try again what raises when it is made.
            return self._fail(process, f"could not begin: {last_raised(error)}", error)
        if process.kind == "shard":
            self._down.add(process.number)
        if asked.name not in ("begin", "revive"):
            self.restarts += 1
            logger.warning("%s died, and is started again: %s", process, first_line(error))
        if not self._lives.note_death(process):
            self._fail(process, f"has died again and again: {first_line(error)}", error)

    def _fail(self, process: Process, what: str, error: BaseException) -> None:
        """The run is to end, once what its other processes have given is learned from."""
        self.failure = BrokenEnvironmentError(f"{process} {what}", env=process.number)
        self.failure.__cause__ = error
        if process.kind == "shard":
            self._lost.add(process.number)

    def _begin(self, index: int) -> None:
        life, self._since[index], self._held[index] = self._lives.of(Process("actor", index)), 0, 0
        call = self._actors[index].begin.remote(f"{self._timestep}/{life}", self._weights)
        self._cluster.expect(call, Asked("begin", index, life))

    def _revive(self, index: int) -> None:
        """A shard begins again with what it wrote last."""
        shard = self._shards[index]
        there = self.saved is not None and self.saved.is_dir()
        call = shard.restore.remote(str(self.saved)) if there else shard.begin.remote()
        self._cluster.expect(call, Asked("revive", index, self._lives.of(Process("shard", index))))


def _process(asked: Asked) -> Process:
    """Which was asked."""
    return Process("actor" if asked.name in OF_ACTORS else "shard", asked.process)
