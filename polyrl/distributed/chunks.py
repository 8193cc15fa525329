"""Chunks of batches: what shards are asked for ahead, and which of them is next."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from polyrl.distributed.cluster import Asked

AHEAD = 2
"""Chunks of batches, and blocks of each actor, that are asked for before they are needed."""

LATE = 1.0
"""Seconds after which a chunk is late, where others could be had."""


@dataclasses.dataclass
class Chunk:
    """Batches `[chunk, ...]` of a shard, by their number there, and how many of them have been learned from."""

    shard: int
    batches: dict[str, np.ndarray]
    sample: str
    came: float
    used: int = 0


class Turn(NamedTuple):
    """Which chunk was asked for, and when."""

    number: int
    at: float


@dataclasses.dataclass
class Turns:
    """Chunks are numbered from 1, in the order in which they are asked for.

    Attributes:
        asked: the number of the newest one.
        came: that of the newest one of those that have come.
        of_shard: that of the newest one of each shard.
    """

    asked: int = 0
    came: int = 0
    of_shard: dict[int, int] = dataclasses.field(default_factory=dict)

    def ask(self, shard: int, now: float) -> Turn:
        """That of the next chunk, which this shard is asked for."""
        self.asked += 1
        self.of_shard[shard] = self.asked
        return Turn(self.asked, now)


def next_shard(ready: Collection[int], waiting: Sequence[Asked], here: int, turns: Turns, now: float) -> int | None:
    """The shard to ask for a chunk, or None if enough are here or will come.

    It is, of those that owe the fewest, the one that has not been asked for longest. A shard is passed over that owes a chunk
    for `LATE` seconds, or when one asked for later has come, as long as there are others: so those that are slow or stopped
    delay nobody, and what they owe does not count as coming.

    Args:
        ready: shards that have something to be drawn from.
        waiting: chunks that have been asked for; `what` is the turn of each.
        here: chunks that have come, and have not been learned from.
        turns: as they are.
        now: the time, as that of the turns.
    """
    owed = collections.Counter(asked.process for asked in waiting)
    late = {asked.process for asked in waiting if asked.what.number < turns.came or asked.what.at < now - LATE}
    if late.issuperset(ready):
        late = set()
    punctual = [shard for shard in ready if shard not in late]
    if not punctual:
        return None
    shard = min(punctual, key=lambda shard: (owed[shard], turns.of_shard.get(shard, 0)))
    coming = max(owed[shard], len(owed.keys() - late))
    return shard if here + coming < AHEAD else None
