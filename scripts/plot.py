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
from polyrl.statistics import interquartile_mean, interval


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
