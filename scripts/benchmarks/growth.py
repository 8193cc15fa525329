"""How the time of an iteration grows with each size, in tables for docs/costs.md.

    python scripts/benchmarks/growth.py [--axes batch_size atoms] [--rounds 3] [--plot growth.png]

An iteration is a step of all environments and one update, in the graph, on one core; all sizes but one are those of a small
run: one environment, two layers of 64 units, batches of 64, 50,000 transitions, two actions. The environment does nothing.
Sizes take turns, each in a process of its own.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
import os
from pathlib import Path
import statistics
import sys
from typing import Any, NamedTuple

import measuring
from rich.console import Console
from rich.table import Table
from rows import POLYRL, Worker

WIDTH = 120  # of the table where there is no terminal


class Axis(NamedTuple):
    """A size that grows: its values, what it is called, and which setting it is of."""

    values: tuple[int, ...]
    title: str
    setting: str = "growing"


AXES = {
    "batch_size": Axis((32, 64, 128, 256, 512, 1_024), "transitions of a batch"),
    "units": Axis((32, 64, 128, 256, 512), "units of each of two layers"),
    "num_envs": Axis((1, 4, 16, 64, 256, 1_024), "environments"),
    "memory_size": Axis((1_000, 10_000, 100_000, 1_000_000), "transitions in a full memory"),
    "actions": Axis((2, 4, 8, 16, 32, 64), "actions"),
    "atoms": Axis((11, 26, 51, 101, 201), "atoms of C51", "growing_c51"),
}


def worker(name: str, value: int) -> Worker:
    """The process that measures one size."""
    sizes = [f"--{name}={value}"]
    if name == "num_envs":  # One update for a step of all.
        sizes += [f"--update_frequency={value}", f"--warm_up={4_096 * value}"]
    if name == "memory_size":  # Full before the first update.
        sizes += [f"--first_update={value}", f"--warm_up={value + 2_048}"]
    return Worker(f"{name}={value}", POLYRL, "polyrl_worker.py", (AXES[name].setting, *sizes))


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axes", nargs="+", choices=AXES, default=[*AXES], help="which sizes grow (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--core", type=int, default=0, help="the core of all processes; -1: any (default: %(default)s)")
    parser.add_argument("--plot", metavar="FILE", help="an image of all of it; needs matplotlib")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error(f"--rounds={given.rounds} must be at least 1.")
    return given


def measured(name: str, rounds: int, measure: measuring.Measure, tell: Any) -> dict[int, list[float]]:
    """Microseconds of an iteration, by size."""
    found: dict[int, list[float]] = {value: [] for value in AXES[name].values}
    for _ in range(rounds):
        for value, times in found.items():
            steps = measure(worker(name, value))["value"]
            times.append((value if name == "num_envs" else 1) / steps * 1e6)
            tell(f"{name}={value}: {times[-1]:,.0f} us")
    return found


def table(name: str, found: dict[int, list[float]]) -> Table:
    """A row for each size; the last column says what one more of it costs, between the size before and this one."""
    shown = Table(title=f"{AXES[name].title}: microseconds of an iteration")
    for title in ("size", "median (min..max)", "for each more, nanoseconds"):
        shown.add_column(title, justify="right")
    before: tuple[int, float] | None = None
    for value, times in found.items():
        median = statistics.median(times)
        more = "" if before is None else f"{(median - before[1]) / (value - before[0]) * 1e3:,.3g}"
        shown.add_row(f"{value:,}", f"{median:,.0f} ({min(times):,.0f}..{max(times):,.0f})", more)
        before = value, median
    return shown


def plot(file: Path, everything: dict[str, dict[int, list[float]]]) -> None:
    """A panel for each size, both axes by decades: a straight line up is as much time as size, a level one costs nothing."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullLocator, StrMethodFormatter

    figure, panels = plt.subplots(2, -(-len(everything) // 2), figsize=(12, 7), squeeze=False, sharey=True)
    for panel, (name, found) in zip(panels.flat, everything.items(), strict=False):
        medians = [statistics.median(times) for times in found.values()]
        panel.loglog(list(found), medians, marker="o")
        panel.fill_between(list(found), [min(t) for t in found.values()], [max(t) for t in found.values()], alpha=0.3)
        panel.set(xlabel=AXES[name].title, xticks=list(found), xticklabels=[f"{value:,}" for value in found])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        panel.grid(alpha=0.3, which="both")
    for row in panels:
        row[0].set_ylabel("microseconds of an iteration")
    for panel in panels.flat[len(everything) :]:
        panel.axis("off")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main() -> int:
    """Measures, and tells as it goes; the exit status is 1 if a process failed."""
    given = command_line()
    console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    processes = measuring.Processes({POLYRL: os.path.abspath(sys.executable)}, given.core)
    everything: dict[str, dict[int, list[float]]] = {}
    for name in given.axes:
        try:
            everything[name] = measured(name, given.rounds, processes, lambda text: console.print(text, markup=False))
        except measuring.WorkerError as error:
            console.print(f"{name}: {error}", markup=False)
            return 1
        console.print(table(name, everything[name]))
    if given.plot:
        plot(Path(given.plot), everything)
    return 0


if __name__ == "__main__":
    sys.exit(main())
