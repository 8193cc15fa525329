"""Means over runs with different seeds, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

REPETITIONS = 2_000


def mean(scores: np.ndarray) -> np.ndarray:
    """The mean over the last axis: `[..., S]` to `[...]`."""
    return scores.mean(axis=-1)


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """The mean of the middle half, over the last axis: `[..., S]` to `[...]`; scores at the quarters count in part."""
    ordered = np.sort(scores, axis=-1)
    size = scores.shape[-1]
    # How much of each score lies between the first and the third quarter.
    edges = np.arange(size + 1) / size
    weights = np.clip(edges[1:], 0.25, 0.75) - np.clip(edges[:-1], 0.25, 0.75)
    return (ordered * weights).sum(axis=-1) / weights.sum()


def interval(
    scores: np.ndarray, seed: int = 0, statistic: Callable[[np.ndarray], np.ndarray] = interquartile_mean
) -> tuple[np.ndarray, np.ndarray]:
    """The bounds of a statistic's 95% interval by a percentile bootstrap over the seeds (Agarwal et al. 2021).

    Args:
        scores: float `[T, S]`, of `T` tasks or times and `S` seeds; the same seeds are drawn for all.
        seed: of the draws.
        statistic: of the last axis.

    Returns:
        Lower and upper bounds, `[T]` each.
    """
    draws = np.random.default_rng(seed).integers(scores.shape[1], size=[REPETITIONS, scores.shape[1]])
    low, high = np.percentile(statistic(scores[:, draws]), [2.5, 97.5], axis=1)  # Of [T, repetitions].
    return low, high
