"""How fast a run is told to be, and how long what is left takes: evaluations are no part of its pace."""

from __future__ import annotations

import types

import pytest

from polyrl.estimators.budget import Budget
from polyrl.estimators.hooks import SummaryHook, pace
from polyrl.summaries import SummaryOptions


class Timed:
    """A run on a clock of its own: a second for each step, and for evaluation `n` as many as `lengths` says."""

    def __init__(self, monkeypatch, every, lengths, told, budget=1_000):
        self.seconds, self.timestep, self.evaluation_seconds, self.compile_seconds = 0.0, 0, 0.0, 0.0
        self.aside_seconds = 0.0
        self.budget = Budget(timestep=budget)
        self.left = {}
        monkeypatch.setattr(pace.time, "monotonic", lambda: self.seconds)
        speed = pace.Pace(every if told else None)
        for _ in range(budget):
            self.timestep, self.seconds = self.timestep + 1, self.seconds + 1.0
            speed.after_act(self)
            self.left[self.timestep] = speed.seconds_left(self)
            if self.timestep % every == 0:
                took = lengths[self.timestep // every - 1]
                self.seconds, self.evaluation_seconds = self.seconds + took, self.evaluation_seconds + took


def test_evaluations_to_come_are_part_of_what_is_left(monkeypatch):
    """Before the first one it was not known that there would be any, and the time left doubled when it came."""
    run = Timed(monkeypatch, 100, [50.0] * 10, told=True)
    assert {run.left[step] for step in (1, 2, 50, 99, 100)} == {None}
    truth = {step: (1_000 - step) + 50.0 * (10 - step // 100) for step in run.left}
    for step in (101, 199, 201, 550, 999):
        # The evaluation of a step is over at the next one; an evaluation ends the run.
        assert run.left[step] == pytest.approx(truth[step], abs=1e-6)


def test_the_last_evaluation_says_how_long_the_next_will_be(monkeypatch):
    """Episodes become longer with what is learned, of which a mean would know too late."""
    run = Timed(monkeypatch, 100, [1.0, *[50.0] * 9], told=True)
    assert run.left[101] == pytest.approx(899 + 9 * 1.0)
    assert run.left[201] == pytest.approx(799 + 8 * 50.0)


def test_evaluations_that_are_not_foreseen_take_their_share(monkeypatch):
    run = Timed(monkeypatch, 100, [50.0] * 10, told=False)
    assert run.left[50] == pytest.approx(950.0)
    assert run.left[501] == pytest.approx(499 * (500 + 250) / 500)


def test_recordings_and_exports_are_no_part_of_the_speed_and_part_of_what_is_left(monkeypatch):
    """A run that took videos was said to be a tenth as fast."""
    run = Timed(monkeypatch, 100, [], told=True, budget=10)
    speed = pace.Pace()
    for step in range(1, 11):
        run.timestep, run.seconds = step, run.seconds + 1.0
        speed.after_act(run)
        with pace.aside(run):
            run.seconds += 9.0
        if step == 5:
            assert speed.since_last(run) == pytest.approx(1.0)
            assert speed.seconds_left(run) == pytest.approx(5 * (4 * 1.0 + 5 * 9.0) / 4)
    assert run.aside_seconds == pytest.approx(90.0)


def test_without_an_evaluation_before_the_end_all_is_known_at_once(monkeypatch):
    assert Timed(monkeypatch, 100, [], told=True, budget=90).left[50] == pytest.approx(40.0)


def test_the_speed_in_tensorboard_is_without_evaluations_and_compilations(monkeypatch):
    """The panel fell by half with each evaluation, at which nothing was slower."""
    clock, written = types.SimpleNamespace(now=0.0), []
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock.now)
    writer = types.SimpleNamespace(flush=lambda: None)
    run = types.SimpleNamespace(
        timestep=0, step=0, episode=0, stored=0, compile_seconds=0.0, evaluation_seconds=0.0, aside_seconds=0.0, episodes=()
    )
    run.writer, run.write_scalars, run.request_summaries = writer, written.append, lambda: None
    run.summary_options, run.exploration_rate = (SummaryOptions.LOSS,), float("nan")
    hook = SummaryHook(100, None)
    hook.begin(run)
    for step in range(1, 301):
        run.timestep, run.step, clock.now = step, step // 2, clock.now + 0.1
        if step in (50, 150):
            clock.now, run.compile_seconds = clock.now + 7.0, run.compile_seconds + 7.0
        if step in (120, 130):
            clock.now, run.evaluation_seconds = clock.now + 30.0, run.evaluation_seconds + 30.0
        hook.after_act(run)
    assert [values["time/fps"] for values in written] == pytest.approx([10.0] * 3)
    assert [values["time/updates_per_sec"] for values in written] == pytest.approx([5.0] * 3)
