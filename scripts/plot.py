"""Draws learning curves: `python scripts/plot.py runs/learning/results.jsonl --labels cartpole_dqn cartpole_c51`.

The line is the interquartile mean over the seeds, the band its 95% interval by a bootstrap over the seeds (Agarwal et al.
2021). It needs matplotlib. `--table` prints the same two of the scores in place of it: with the last weights, with the best,
and the mean of all evaluations on the way, which says how fast a run learned.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

REPETITIONS = 2_000


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """The mean of the middle half, over the last axis: `[..., S]` to `[...]`; scores at the quarters count in part."""
    ordered = np.sort(scores, axis=-1)
    size = scores.shape[-1]
    # How much of each score lies between the first and the third quarter.
    edges = np.arange(size + 1) / size
    weights = np.clip(edges[1:], 0.25, 0.75) - np.clip(edges[:-1], 0.25, 0.75)
    return (ordered * weights).sum(axis=-1) / weights.sum()


def interval(scores: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The bounds of the 95% interval of the interquartile mean of scores `[T, S]`, by drawing seeds again: `[T]` each."""
    draws = np.random.default_rng(seed).integers(scores.shape[1], size=[REPETITIONS, scores.shape[1]])
    means = interquartile_mean(scores[:, draws])  # [T, repetitions]
    low, high = np.percentile(means, [2.5, 97.5], axis=1)
    return low, high


def curves(results: list[dict[str, Any]], label: str) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps `[T]` and scores `[T, S]` of all seeds, as far as all of them have come."""
    own = [result["curve"] for result in results if result["label"] == label]
    if not own:
        raise SystemExit(f"There are no results of {label}; there are {sorted({result['label'] for result in results})}.")
    length = min(map(len, own))
    steps = np.array([point[0] for point in own[0][:length]])
    return steps, np.array([[point[1] for point in curve[:length]] for curve in own]).T


def table(results: list[dict[str, Any]], labels: list[str]) -> str:
    """Markdown, a row for each label: interquartile means over the seeds, and their intervals."""
    lines = ["| | seeds | final | best | mean of the evaluations |", "|---|---|---|---|---|"]
    for label in labels:
        _, evaluations = curves(results, label)
        own = [result for result in results if result["label"] == label]
        scores = np.array([[result["final"] for result in own], [result["best"] for result in own], evaluations.mean(axis=0)])
        low, high = interval(scores)
        cells = [f"{m:.1f} ({a:.1f}..{b:.1f})" for m, a, b in zip(interquartile_mean(scores), low, high, strict=True)]
        lines.append(f"| {' | '.join([label, str(len(own)), *cells])} |")
    return "\n".join(lines)


def main() -> None:
    """Draws a line for each label, or prints a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--labels", nargs="+")
    parser.add_argument("--output", type=Path, default=Path("curves.png"))
    parser.add_argument("--table", action="store_true", help="print a table, draw nothing")
    arguments = parser.parse_args()
    results = [json.loads(line) for line in arguments.results.read_text().splitlines()]
    labels = arguments.labels or sorted({result["label"] for result in results})
    if arguments.table:
        print(table(results, labels))
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    for label in labels:
        steps, scores = curves(results, label)
        low, high = interval(scores)
        (line,) = axes.plot(steps, interquartile_mean(scores), label=f"{label} ({scores.shape[1]} seeds)")
        axes.fill_between(steps, low, high, alpha=0.2, color=line.get_color())
    axes.set_xlabel("environment steps")
    axes.set_ylabel("mean return, interquartile mean over seeds")
    axes.legend()
    figure.savefig(arguments.output, dpi=150, bbox_inches="tight")
    print(arguments.output)


if __name__ == "__main__":
    main()
