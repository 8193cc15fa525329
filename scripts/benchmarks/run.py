"""Measures polyrl against its peers and prints the table of docs/performance.md.

    python scripts/benchmarks/run.py --peers_python=.peers/bin/python --tf_agents_python=.tfa/bin/python
    python scripts/benchmarks/run.py --rows=cartpole_dqn,startup --pairs=1

docs/measuring_speed.md says how the peers are installed, and how it is measured.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
import datetime
import json
import os
from pathlib import Path
import platform
import statistics
import sys
from typing import Any

import measuring
from measuring import Comparison, Figures
from rich.console import Console
from rich.table import Table
import rows

QUIET = 0.95
"""The share of a core below which other processes disturb a measurement."""

WIDTH = 140  # of the table where there is no terminal


def number(value: float | None) -> str:
    """Three digits, or all that come before the point."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def describe(result: Mapping[str, Any], unit: str) -> str:
    """A process's figure, and what there is to say about it."""
    parts = [f"{number(result['value'])} {unit}"]
    parts += [f"{result[kind]} {kind}" for kind in ("summaries", "checkpoints") if result.get(kind)]
    share = result.get("cpu_share", 1.0)
    parts += [f"noisy: it had the core for {share:.0%} of the time"] if share < QUIET else []
    return ", ".join(parts)


def cell(figures: Figures | None) -> str:
    """The median, with the smallest and the largest; and how much was written meanwhile, if anything was."""
    if figures is None:
        return "left out"
    if figures.median is None:
        return "failed"
    written = {
        kind: statistics.median(result.get(kind, 0) for result in figures.results) for kind in ("summaries", "checkpoints")
    }
    parts = [f"{number(figures.median)} ({number(min(figures.values))}..{number(max(figures.values))})"]
    return ", ".join([*parts, *(f"{count:g} {kind}" for kind, count in written.items() if count)])


def target(comparison: Comparison) -> str:
    """What is aimed at."""
    row, peer = comparison.row, comparison.peer
    parts = [] if row.limit is None else [f"<= {number(row.limit)} {row.unit}"]
    parts += [] if peer is None or peer.target is None else [f">= {peer.target:g}x"]
    return ", ".join(parts)


def table(comparisons: Sequence[Comparison], cores: str) -> Table:
    """The table; a ratio above 1 says how many times better polyrl is."""
    result = Table(title=f"on {cores}: median (min..max)")
    for title in ("row", "unit", "polyrl", "peer", "ratio", "target", "reached"):
        result.add_column(title, no_wrap=title == "row")
    for comparison in comparisons:
        row, peer, ratio = comparison.row, comparison.peer, comparison.ratio
        theirs = "" if peer is None else f"{peer.worker.title}: {cell(comparison.theirs)}"
        reached = {True: "yes", False: "no", None: ""}[comparison.reached]
        shown = "" if ratio is None else f"{ratio:.3g}x"
        result.add_row(row.name, row.unit, cell(comparison.ours), theirs, shown, target(comparison), reached)
    return result


def as_json(measured: Mapping[str, Sequence[Comparison]]) -> dict[str, Any]:
    """All figures, by the cores that they were measured on, with the machine they come from."""
    lines = [
        {
            "row": line.row.name,
            "cores": cores,
            "unit": line.row.unit,
            "limit": line.row.limit,
            "polyrl": line.ours.results,
            "peer": None if line.peer is None else line.peer.worker.title,
            "target": None if line.peer is None else line.peer.target,
            "peer_results": None if line.theirs is None else line.theirs.results,
            "ratio": line.ratio,
            "reached": line.reached,
        }
        for cores, comparisons in measured.items()
        for line in comparisons
    ]
    machine = {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()}
    return {"date": datetime.datetime.now().isoformat(timespec="seconds"), "machine": machine, "rows": lines}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def command_line() -> tuple[argparse.Namespace, list[rows.Row]]:
    """What is given on the command line, and the rows of that."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add: Any = parser.add_argument
    names, asked = (", ".join(row.name for row in rows.ROWS if row.by_default is default) for default in (True, False))
    add("--rows", default="", help=f"names with commas between them, or all (default: {names}); only if asked for: {asked}")
    add("--pairs", type=int, default=5, help="how often each side of a row is measured, in turn (default: %(default)s)")
    add("--peers_python", help="the Python that has stable-baselines3, sbx-rl and cpprb; without it they are left out")
    add("--tf_agents_python", help="the Python that has tf-agents; without it TF-Agents is left out")
    add("--core", type=int, default=0, help="the processor core that all processes run on; -1: any (default: %(default)s)")
    add("--all_cores", action="store_true", help="as users start programs: on all cores, each library with its own threads")
    add("--both", action="store_true", help="on one core first, and then on all cores")
    add("--together", type=int, default=1, help="runs of a row at the same time, whose mean counts (default: %(default)s)")
    add("--baseline", metavar="PATH", help="another checkout, whose polyrl is measured beside this one")
    add("--output", help="a JSON file for all figures (default: none is written)")
    given = parser.parse_args()
    for name in ("pairs", "together"):
        if getattr(given, name) < 1:
            parser.error(f"--{name}={getattr(given, name)} must be at least 1.")
    if given.both and given.all_cores:
        parser.error("--both and --all_cores are two choices: --both measures on all cores, too.")
    if given.together > 1 and not given.all_cores and given.core >= 0:
        parser.error(f"--together={given.together} would be on one core; give --all_cores, too.")
    if given.baseline and not (Path(given.baseline) / "polyrl" / "__init__.py").is_file():
        parser.error(f"--baseline={given.baseline} must be a checkout of polyrl: it has no polyrl/__init__.py.")
    try:
        chosen = rows.select(name.strip() for name in given.rows.split(",") if name.strip())
    except ValueError as error:
        parser.error(f"--rows: {error}")
    return given, [rows.against(row) for row in chosen] if given.baseline else chosen


def main() -> int:
    """Measures, and tells as it goes; the exit status is 1 if a worker failed."""
    given, chosen = command_line()
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)
    pythons = {rows.POLYRL: sys.executable, rows.PEERS: given.peers_python, rows.TF_AGENTS: given.tf_agents_python}
    # Workers run in directories of their own; a link to a virtual environment's Python must stay one.
    pythons = {name: os.path.abspath(python) for name, python in pythons.items() if python}
    for name, flag in ((rows.PEERS, "--peers_python"), (rows.TF_AGENTS, "--tf_agents_python")):
        if name not in pythons:
            console.print(f"{flag} is not given: its peers are left out.")
    baseline = os.path.abspath(given.baseline) if given.baseline else None
    if baseline:
        pythons[rows.BASELINE] = sys.executable
    cores = {"one core": given.core} if given.both or not given.all_cores else {}
    cores |= {"all cores": None} if given.both or given.all_cores else {}
    measured: dict[str, list[Comparison]] = {}
    for where, core in cores.items():
        processes = measuring.Processes(pythons, core, baseline, given.together)
        for row in chosen:

            def tell(worker: rows.Worker, figures: Figures, row: rows.Row = row, where: str = where) -> None:
                count = f"{len(figures.results)}/{given.pairs}"
                said = f"failed: {figures.error}" if figures.error else describe(figures.results[-1], row.unit)
                console.print(f"{row.name}  {where}  {worker.title}  {count}  {said}", markup=False, highlight=False)

            measured.setdefault(where, []).extend(measuring.measure_row(row, given.pairs, pythons, processes, tell))
            if given.output:
                Path(given.output).write_text(json.dumps(as_json(measured), indent=1) + "\n")
    for where, comparisons in measured.items():
        console.print(table(comparisons, where))
    lines = [line for comparisons in measured.values() for line in comparisons]
    return int(any(figures is not None and figures.error for line in lines for figures in (line.ours, line.theirs)))


if __name__ == "__main__":
    sys.exit(main())
