"""Draws learning curves: `python scripts/plot.py runs/dqn runs/c51`, the evaluations of the runs in these directories while
they trained, those of `--seeds` together. Or those in the file of a benchmark:
`python scripts/plot.py runs/learning/results.jsonl --labels cartpole_dqn cartpole_c51`.

The line is the interquartile mean over the seeds, the band its 95% interval by a bootstrap over the seeds (Agarwal et al.
2021; of one environment, so that there is one stratum), at the steps at which all of them were evaluated. It needs matplotlib:
`pip install 'polyrl[plot]'`. `--table` prints the same two of the scores in place of it: with the last weights, with the best,
and the mean of all evaluations on the way, which says how fast a run learned. Of a run these are the last evaluation while it
trained, and the one of its best weights after that, or the best one.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import sys
from typing import Any

import numpy as np
from polyrl.paths import nearest
from polyrl.statistics import interquartile_mean, interval

EVALUATIONS = "evaluations.csv"


def read(file: Path) -> list[dict[str, Any]]:
    """The results in a file of JSON lines.

    Raises:
        ValueError: if a line is not a result, or if there is none; says which.
        OSError: if it cannot be read.
    """
    results = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            result = json.loads(line)
            curve = np.array(result["curve"], float)
            scores = float(result["final"]), float(result["best"])
            if not isinstance(result["label"], str) or curve.ndim != 2 or curve.shape[1] != 2 or not np.isfinite(scores).all():
                raise ValueError
        except (ValueError, TypeError, KeyError):
            raise ValueError(
                f"{file}: line {number} is not a result of scripts/benchmarks/learning.py, an object of JSON with label, "
                "curve [[environment step, mean return], ...], final and best."
            ) from None
        results.append(result)
    if not results:
        raise ValueError(f"{file} is empty; scripts/benchmarks/learning.py writes results.jsonl.")
    return results


def read_runs(directories: list[Path]) -> list[dict[str, Any]]:
    """The results of the runs in and below directories, with their paths as labels.

    Raises:
        ValueError: if there is none that has been evaluated while it trained.
        OSError: if a directory does not exist.
    """
    from polyrl.experiments import comparing, processes  # With it comes TensorFlow, without which --help is quick.

    groups = comparing.grouped(comparing.find(map(str, directories)))
    above = os.path.commonpath(groups) if len(groups) > 1 else ""
    results = []
    for name, runs in groups.items():
        label = os.path.relpath(name, above) if above else name
        for run in runs:
            rows = processes.evaluations(run.directory / EVALUATIONS)
            curve = [[row["global_timestep"], row["mean_reward"]] for row in rows]
            if curve:
                scores = {"final": curve[-1][1], "best": max(run.evaluations) if run.final is None else run.final}
                results.append({"label": label, "curve": curve, **scores})
    if not results:
        raise ValueError(f"No run in {', '.join(map(str, directories))} has been evaluated while it trained.")
    return results


def curves(results: list[dict[str, Any]], label: str) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps `[T]` at which all seeds were evaluated, and their scores `[T, S]`.

    Raises:
        ValueError: if there is no such step, or a seed is there twice.
    """
    own = [result for result in results if result["label"] == label]
    if not own:
        raise SystemExit(f"There are no results of {label}; there are {sorted({result['label'] for result in results})}.")
    seeds = [result["seed"] for result in own if "seed" in result]
    if len(set(seeds)) < len(seeds):
        twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
        raise ValueError(f"There are two results of {label} for the seeds {twice}; give each file once, and each run a label.")
    evaluated = [dict(result["curve"]) for result in own]
    steps = sorted(set.intersection(*(set(curve) for curve in evaluated)))
    if not steps:
        raise ValueError(f"The seeds of {label} were evaluated at other steps each, none of them in common.")
    return np.array(steps), np.array([[curve[step] for curve in evaluated] for step in steps])


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
    parser.add_argument(
        "results", type=Path, nargs="+", help="directories of runs, or results.jsonl of scripts/benchmarks/learning.py"
    )
    parser.add_argument("--labels", nargs="+", help="the runs to show, in this order (default: all, by their names)")
    parser.add_argument(
        "--output", type=Path, default=Path("curves.png"), help="the image, .png, .svg or .pdf (default: %(default)s)"
    )
    parser.add_argument("--table", action="store_true", help="print a table, draw nothing")
    arguments = parser.parse_args()
    try:
        for path in arguments.results:
            if not path.exists():
                raise FileNotFoundError(f"{path}: there is no such file or directory.{nearest(path, path.parent.glob('*'))}")
        files = [path for path in arguments.results if not path.is_dir()]
        directories = [path for path in arguments.results if path.is_dir()]
        results = [result for file in files for result in read(file)] + (read_runs(directories) if directories else [])
        labels = arguments.labels or sorted({result["label"] for result in results})
        if arguments.table:
            print(table(results, labels))
        else:
            draw(results, labels, arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


def draw(results: list[dict[str, Any]], labels: list[str], output: Path) -> None:
    """Draws a line for each label into the file `output`."""
    try:
        import matplotlib
    except ImportError as error:
        sys.exit(f"Curves are drawn with matplotlib, which cannot be imported ({error}): pip install 'polyrl[plot]'.")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    for label in labels:
        steps, scores = curves(results, label)
        low, high = interval(scores)
        seeds = "1 seed" if scores.shape[1] == 1 else f"{scores.shape[1]} seeds"
        marker = "o" if len(steps) == 1 else None  # One point is no line.
        (line,) = axes.plot(steps, interquartile_mean(scores), marker=marker, label=f"{label} ({seeds})")
        axes.fill_between(steps, low, high, alpha=0.2, color=line.get_color())
    axes.set_xlabel("environment steps")
    axes.set_ylabel("mean return, interquartile mean over seeds")
    axes.legend()
    figure.savefig(output, dpi=150, bbox_inches="tight")
    print(output)


if __name__ == "__main__":
    main()
