"""`polyrl.statistics`: the bootstrap against what it is known to give."""

from __future__ import annotations

import numpy as np
import pytest

from polyrl import statistics


def test_the_interval_of_the_mean_of_many_scores_is_that_of_the_normal_distribution():
    scores = np.random.default_rng(1).normal(5.0, 2.0, size=[1, 400])
    (low,), (high,) = statistics.interval(scores, statistic=statistics.mean)
    half = 1.96 * scores.std() / np.sqrt(400)
    assert low == pytest.approx(scores.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(scores.mean() + half, abs=0.1 * half)


def test_of_one_seed_it_is_that_score():
    low, high = statistics.interval(np.array([[3.0], [4.0]]), statistic=statistics.mean)
    assert low.tolist() == high.tolist() == [3.0, 4.0]


def test_the_mean_is_not_the_interquartile_mean():
    scores = np.array([0.0, 1.0, 2.0, 101.0])
    assert (statistics.mean(scores), statistics.interquartile_mean(scores)) == (26.0, 1.5)
