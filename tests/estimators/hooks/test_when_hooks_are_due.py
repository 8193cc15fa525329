"""`Cadence`: what is due, and how long it is put off by the time that it takes."""

from __future__ import annotations

import pytest

from polyrl.estimators.hooks import base
from polyrl.estimators.hooks.base import Cadence


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(base, "time", clock)
    return clock


def due_at(cadence: Cadence, steps: range) -> list[int]:
    return [step for step in steps if cadence.due(step)]


@pytest.mark.parametrize("start", [0, 3, 10, 14])
@pytest.mark.parametrize("stride", [1, 3, 7, 25])
def test_it_is_due_when_a_multiple_is_passed(clock, start, stride):
    cadence = Cadence(10)
    cadence.start(start)
    before, expected = start, []
    for step in range(start + stride, 200, stride):
        if any(passed % 10 == 0 for passed in range(before + 1, step + 1)):
            expected.append(step)
        before = step
    assert due_at(cadence, range(start + stride, 200, stride)) == expected


def test_parts_of_what_it_took_add_up(clock):
    cadence = Cadence(10, max_share=0.1)
    assert cadence.due(10)
    cadence.took(0.2)
    clock.now += 0.1
    cadence.took(0.3)  # 0.5 s of work: 5 s from where it was told first.
    clock.now = 104.9
    assert not cadence.due(20)
    clock.now = 105.1
    assert cadence.due(25)


@pytest.mark.parametrize("free", [0, 1, 3])
def test_the_free_ones_put_nothing_off_however_many_parts_they_have(clock, free):
    cadence = Cadence(10, max_share=0.01, free=free)
    for step in range(10, 10 * free + 10, 10):
        assert cadence.due(step)
        cadence.took(5.0)
        cadence.took(5.0)
    step = 10 * free + 10
    assert cadence.due(step)
    cadence.took(1.0)
    clock.now += 99.0
    assert not cadence.due(step + 10)
    clock.now += 2.0
    assert cadence.due(step + 20)


def test_what_was_done_without_being_due_counts_as_well(clock):
    cadence = Cadence(10, max_share=0.1)
    cadence.took(1.0)
    assert not cadence.due(10)
    clock.now += 11.0
    assert cadence.due(11)


@pytest.mark.parametrize("at_multiples", [False, True])
def test_what_is_put_off_comes_at_once_or_at_the_next_multiple(clock, at_multiples):
    cadence = Cadence(10, max_share=0.1, at_multiples=at_multiples)
    assert cadence.due(10)
    cadence.took(1.0)
    assert not cadence.due(20)
    clock.now += 11.0
    assert due_at(cadence, range(21, 35)) == ([30] if at_multiples else [21, 30])


def test_by_seconds_it_is_due_whatever_the_steps(clock):
    cadence = Cadence(None, 2.0)
    cadence.start(0)
    assert not cadence.due(1_000_000)
    clock.now += 2.0
    assert cadence.due(1_000_001)
    assert not cadence.due(1_000_002)
