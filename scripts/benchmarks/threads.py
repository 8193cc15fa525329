"""Whether TensorFlow divides an operation better among one core or all: in a table for docs/performance.md.

    python scripts/benchmarks/threads.py [--rows=cartpole_dqn,pong] [--pairs=5]
    python scripts/benchmarks/threads.py --rows=growing -- --units=256 --batch_size=256

Each row is trained by a process with one thread for each operation, and by one with as many as there are cores, in turn; none
is pinned to a core, and nothing else is set. A ratio is of neighbours.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
from collections.abc import Sequence
import os
from pathlib import Path
import statistics
import subprocess
import sys

from measuring import parse
from settings import SETTINGS

WORKER = Path(__file__).with_name("polyrl_worker.py")
ROWS = [name for name in SETTINGS if not name.startswith("growing")]
VARIABLE = "TF_NUM_INTRAOP_THREADS"


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help="names with commas between them (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=5, help="how often each side is measured (default: %(default)s)")
    parser.add_argument("worker", nargs="*", help="after --: what polyrl_worker.py takes, as --units=256")
    return parser.parse_args()


def measured(row: str, threads: int, more: Sequence[str]) -> float:
    """Environment steps a second. The number is given in both cases, as the worker would choose one for small networks."""
    variables = os.environ | {VARIABLE: str(threads)}
    command = [sys.executable, str(WORKER), row, *more]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{row}: exit status {done.returncode}\n{done.stderr[-2_000:]}")
    return float(parse(done.stdout)["value"])


def shown(values: list[float], form: str) -> str:
    """Median, smallest and largest."""
    low, high = format(min(values), form), format(max(values), form)
    return f"{statistics.median(values):{form}} ({low}..{high})"


def main() -> None:
    """Measures all rows and prints a line for each as soon as it is known."""
    arguments = command_line()
    print("| row | steps/s, one thread | steps/s, a thread for each core | ratio |\n|---|---|---|---|", flush=True)
    for row in arguments.rows.split(","):
        one, every = [], []
        for _ in range(arguments.pairs):
            one.append(measured(row, 1, arguments.worker))
            every.append(measured(row, len(os.sched_getaffinity(0)), arguments.worker))
        ratios = [first / second for first, second in zip(one, every, strict=True)]
        print(f"| `{row}` | {shown(one, ',.0f')} | {shown(every, ',.0f')} | {shown(ratios, '.2f')} |", flush=True)


if __name__ == "__main__":
    main()
