"""When a process that dies again and again is given up, and when those that died begin again."""

from __future__ import annotations

import pytest

from polyrl.distributed import lives
from polyrl.distributed.lives import DEATHS, GIVEN_UP, PATIENCE, Lives, Process

ACTOR, SHARD = Process("actor", 1), Process("shard", 1)


@pytest.fixture
def clock(monkeypatch):
    """A list of the one time that it is."""
    now = [1_000.0]
    monkeypatch.setattr(lives.time, "monotonic", lambda: now[0])
    return now


def test_a_process_begins_again_once_and_later(clock):
    found = Lives()
    assert found.note_death(ACTOR)
    assert (found.of(ACTOR), found.of(SHARD)) == (1, 0)
    assert found.waits(ACTOR)
    assert not found.waits(SHARD)
    assert found.due() == []
    clock[0] += PATIENCE
    assert found.due() == [ACTOR]
    assert not found.waits(ACTOR)
    assert found.due() == []


def test_two_deaths_with_a_long_evaluation_between_them_are_no_end(clock):
    found = Lives()
    for _ in range(DEATHS - 1):
        assert found.note_death(ACTOR)
        clock[0] += 10 * GIVEN_UP


def test_what_dies_again_and_again_is_given_up(clock):
    found, deaths = Lives(), 0
    while found.note_death(SHARD):
        deaths += 1
        clock[0] += 10.0
    assert deaths == GIVEN_UP / 10.0 + 1


def test_what_has_given_something_since_is_not_given_up(clock):
    found = Lives()
    for death in range(100):
        assert found.note_death(SHARD)
        clock[0] += 10.0
        if death % 20 == 0:
            found.note_work(SHARD)
