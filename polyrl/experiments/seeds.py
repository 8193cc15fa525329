"""`--seeds`: the same command for each of several seeds, as processes, and the mean of what they come to."""

from __future__ import annotations

import csv
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polyrl import statistics
from polyrl.experiments import processes, report
from polyrl.flags.existing import directory_of_seed

logger = logging.getLogger("polyrl")

PATIENCE = 0.2
"""Seconds between two looks at the processes."""


def run(command: Sequence[str], seeds: Sequence[int], model_dir: Path, jobs: int) -> None:
    """Runs the command for each seed in `<model_dir>/seed-<seed>`, `jobs` at a time, and shows what they come to.

    What the runs show is in `<model_dir>/seed-<seed>.log`, the table also in `<model_dir>/seeds.csv`.

    Args:
        command: as it was started, Python first.
        seeds: all different.
        model_dir: of the runs together.
        jobs: how many run side by side.

    Raises:
        SystemExit: with status 1 after the others, if a run fails; with that of the signal that ends this.
    """
    waiting, failed = list(seeds), list[int]()
    running: dict[int, subprocess.Popen[bytes]] = {}
    with processes.ended_with_this(running.values()):
        while waiting or running:
            while waiting and len(running) < jobs:
                seed = waiting.pop(0)
                # The last value of a flag counts.
                own = ["--seeds=", f"--seed={seed}", f"--model_dir={directory_of_seed(model_dir, seed)}"]
                running[seed] = processes.start([*command, *own], _log(model_dir, seed))
                logger.info("Seed %d has begun; what it shows is in %s.", seed, _log(model_dir, seed))
            time.sleep(PATIENCE)
            for seed, process in list(running.items()):
                status = process.poll()
                if status is None:
                    continue
                del running[seed]
                if status != 0:
                    failed.append(seed)
                    words = processes.last_error(_log(model_dir, seed))
                    logger.error("Seed %d ended with exit status %d: %s", seed, status, words)
                else:
                    logger.info("Seed %d has ended.", seed)
    results = {seed: evaluated for seed in seeds if seed not in failed and (evaluated := _last(model_dir, seed))}
    if results:
        _show(results, model_dir)
    if failed:
        sys.exit(1)


def _log(model_dir: Path, seed: int) -> Path:
    return model_dir / f"seed-{seed}.log"


def _last(model_dir: Path, seed: int) -> dict[str, float] | None:
    rows = processes.evaluations(directory_of_seed(model_dir, seed) / "eval" / "evaluations.csv")
    return rows[-1] if rows else None


def _show(results: dict[int, dict[str, float]], model_dir: Path) -> None:
    scores = np.array([result["mean_reward"] for result in results.values()])
    (low,), (high,) = statistics.interval(scores[np.newaxis], statistic=statistics.mean)
    with open(model_dir / "seeds.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "global_timestep", "mean_reward"])
        writer.writerows([seed, int(row["global_timestep"]), row["mean_reward"]] for seed, row in results.items())
    report.print_seeds(results, f"{scores.mean():.3f}", f"{low:.3f} to {high:.3f}", model_dir)
