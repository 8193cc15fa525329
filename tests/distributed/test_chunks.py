"""Which shard is asked for the next chunk of batches."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from polyrl.distributed.chunks import AHEAD, LATE, Turn, Turns, next_shard
from polyrl.distributed.cluster import Asked


def asked(shard: int, number: int, at: float = 0.0) -> Asked:
    return Asked("sample", shard, 0, Turn(number, at))


def learned(shards: int, chunks: int, stopped: Collection[int] = (), slow: int | None = None) -> list[int]:
    """The shards of the chunks that a learner takes one after another; a slow shard needs as long as the others for four."""
    waiting: list[Asked] = []
    turns, taken, most, now = Turns(), [], 0, 0.0
    while len(taken) < chunks:
        while (shard := next_shard(range(shards), waiting, 0, turns, now)) is not None:
            waiting.append(Asked("sample", shard, 0, turns.ask(shard, now)))
        most = max(most, len(waiting))
        given = [each for each in waiting if each.process not in stopped]
        given = [each for each in given if each.process != slow or turns.asked - each.what.number >= 4] or given
        if not given:  # All that was asked for is of shards that are stopped.
            now += 2.0 * LATE
            continue
        waiting.remove(given[0])
        turns.came = max(turns.came, given[0].what.number)
        taken.append(given[0].process)
    assert most <= AHEAD + len(stopped) + (slow is not None)
    return taken


def test_shards_are_asked_in_turn() -> None:
    assert learned(3, 9) == [0, 1, 2] * 3
    assert learned(1, 4) == [0] * 4


@pytest.mark.parametrize("stopped", [{0}, {1}, {0, 2}, {0, 1}, {0, 1, 2}])
def test_shards_that_are_stopped_delay_nobody(stopped: set[int]) -> None:
    taken = learned(4, 40, stopped=stopped)
    others = set(range(4)) - stopped
    assert {shard: taken.count(shard) for shard in others} == pytest.approx(dict.fromkeys(others, 40 / len(others)), abs=1)


def test_a_slow_shard_is_asked_less_often() -> None:
    taken = learned(3, 60, slow=1)
    assert 5 < taken.count(1) < 20
    assert abs(taken.count(0) - taken.count(2)) <= 1


def test_no_more_than_is_needed_is_asked_for() -> None:
    turns = Turns(asked=2)
    waiting = [asked(0, 1), asked(1, 2)]
    assert next_shard([0, 1], waiting, 0, turns, 0.0) is None
    assert next_shard([0, 1], waiting[:1], 0, turns, 0.0) == 1
    assert next_shard([0, 1], waiting[:1], 1, turns, 0.0) is None
    assert next_shard([0, 1], [], AHEAD, turns, 0.0) is None
    assert next_shard([], [], 0, turns, 0.0) is None


def test_all_is_asked_of_a_shard_that_is_alone() -> None:
    assert next_shard([1], [asked(1, 1)], 0, Turns(asked=1), 0.0) == 1
    assert next_shard([1], [asked(1, 1), asked(1, 2)], 0, Turns(asked=2), 0.0) is None


def test_a_shard_that_becomes_ready_is_asked_though_another_owes_everything() -> None:
    """That one may be stopped: then nothing of it would ever come."""
    assert next_shard([0, 1], [asked(1, 1), asked(1, 2)], 0, Turns(asked=2), 0.0) == 0
