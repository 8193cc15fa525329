"""What is said while an evaluation lasts."""

from __future__ import annotations

import logging

import pytest

from polyrl.estimators.prediction import waiting
from polyrl.estimators.prediction.waiting import Waiting


@pytest.mark.parametrize(("ended", "level"), [(0, logging.WARNING), (3, logging.INFO)])
def test_it_says_how_far_it_is_every_ten_seconds(caplog, monkeypatch, ended, level):
    """Without an end of an episode nothing was said at all, for ever."""
    now = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    told = Waiting("Evaluation", 20)
    with caplog.at_level(logging.INFO, "polyrl"):
        for seconds, steps in ((9.9, 2_499), (10.0, 4), (20.0, 1)):
            now[0] = seconds
            for _ in range(steps):
                told.step(4, ended)
    first, second = caplog.messages
    assert first.startswith(f"Evaluation: {ended} of 20 episodes have ended after 10,000 environment steps.")
    assert "after 10,016 environment steps" in second
    assert ["TimeLimit" in text for text in (first, second)] == [ended == 0] * 2
    assert [record.levelno for record in caplog.records] == [level] * 2
