"""`Statuses`: what shards have said of themselves, and what they have lost."""

from __future__ import annotations

from typing import Any


class Statuses:
    """Of each shard what it said last, and counts over all the times that it has begun.

    Args:
        shards: how many there are; none has anything yet.

    Attributes:
        newest: of each shard, what it said last.
        lost_transitions: those that a shard held that died, and are in no checkpoint.
        late_priorities: those that came when their transitions had been overwritten.
        left_out: blocks that shards did not store, as those before them were missing.
    """

    def __init__(self, shards: int):
        self.newest: list[dict[str, Any]] = [
            {"stored": 0, "inserted": 0, "ready": False, "dropped": 0, "left_out": 0} for _ in range(shards)
        ]
        self.lost_transitions = self.late_priorities = self.left_out = 0

    def note(self, shard: int, status: dict[str, Any], begins: bool = False) -> None:
        """Takes over what a shard says; what it counts itself is 0 when it begins."""
        before = self.newest[shard]
        counted = {"dropped": 0, "left_out": 0} if begins else before
        self.late_priorities += status["dropped"] - counted["dropped"]
        self.left_out += status["left_out"] - counted["left_out"]
        if begins:  # Of all that it has not got again it held the newest.
            self.lost_transitions += min(before["stored"], max(before["inserted"] - status["inserted"], 0))
        self.newest[shard] = status

    @property
    def stored(self) -> int:
        """Transitions that all shards hold."""
        return sum(int(status["stored"]) for status in self.newest)

    @property
    def inserted(self) -> int:
        """Transitions that have ever been stored in what all shards hold, or have held."""
        return sum(int(status["inserted"]) for status in self.newest)

    @property
    def ready(self) -> set[int]:
        """The shards that have something to be drawn from."""
        return {index for index, status in enumerate(self.newest) if status["ready"]}
