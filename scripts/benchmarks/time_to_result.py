"""Seconds from the start of a process to a result: CartPole-v1 at 475, Acrobot-v1 at -90, beside SB3 with others' settings.

    python scripts/benchmarks/time_to_result.py --peers_python=.peers/bin/python

Everything is in the seconds: imports, compilation, training, and the evaluations, which all have alike: 20 episodes after each
2,500 environment steps. polyrl trains a preset. Programs take turns, seed by seed, each on one core with one thread.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
from collections.abc import Iterable
import math
import os
import statistics
import sys

import measuring
from results import TASKS
from rich.console import Console
from rich.table import Table
from rows import PEERS, POLYRL, Worker

SETTINGS = {"zoo": "SB3, its zoo's settings", "cleanrl": "SB3, CleanRL's settings"}


def workers(env: str, seed: int, settings: Iterable[str]) -> list[Worker]:
    """The programs that are compared on a task."""
    common = (env, f"--seed={seed}")
    peers = (Worker(SETTINGS[name], PEERS, "peers/sb3_result.py", (*common, f"--settings={name}")) for name in settings)
    return [Worker(f"polyrl, {TASKS[env].preset}", POLYRL, "polyrl_result.py", common), *peers]


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=[*TASKS], help="the tasks (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5], help="(default: %(default)s)")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=[*SETTINGS], help="SB3's (default: both)")
    parser.add_argument("--peers_python", help="the Python that has stable-baselines3; without it polyrl is alone")
    parser.add_argument("--core", type=int, default=0, help="the core of all processes; -1: any (default: %(default)s)")
    return parser.parse_args()


def shown(measured: list[dict[str, float]]) -> tuple[str, str, str]:
    """How many runs got there; the median of the seconds over all runs with their range; and of the environment steps."""
    seconds, steps = ([result[key] for result in measured] for key in ("value", "steps"))
    there = sum(map(math.isfinite, seconds))
    figures = (statistics.median(seconds), min(seconds), max(seconds))
    texts = [f"{value:.1f}" if math.isfinite(value) else "never" for value in figures]
    return f"{there} of {len(seconds)}", f"{texts[0]} ({texts[1]}..{texts[2]})", f"{statistics.median(steps):,.0f}"


def main() -> int:
    """Measures, and tells as it goes; the exit status is 1 if a worker failed."""
    given = command_line()
    console = Console(soft_wrap=True, highlight=False)
    pythons = {POLYRL: sys.executable} | ({PEERS: os.path.abspath(given.peers_python)} if given.peers_python else {})
    measure, failed = measuring.Processes(pythons, given.core), False
    table = Table(title="Seconds to a result: median (min..max)")
    for title in ("task", "program", "runs that reach it", "seconds", "environment steps"):
        table.add_column(title)
    for env in given.tasks:
        figures: dict[str, list[dict[str, float]]] = {}
        for seed in given.seeds:
            for worker in workers(env, seed, given.settings):
                if worker.python not in pythons:
                    continue
                try:
                    result = measure(worker)
                except measuring.WorkerError as error:
                    console.print(f"{env}  {worker.title}  seed {seed}  failed: {error}", markup=False)
                    failed = True
                    continue
                figures.setdefault(worker.title, []).append(result)
                console.print(f"{env}  {worker.title}  seed {seed}  {result['value']:.1f} s, {result['steps']:,} steps")
        for title, measured in figures.items():
            table.add_row(f"{env} at {TASKS[env].target:g}", title, *shown(measured))
    console.print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
