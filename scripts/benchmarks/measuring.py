"""Runs workers, each in a process of its own, and makes ratios of what they measured."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
import dataclasses
import json
import os
from pathlib import Path
import shutil
import statistics
import subprocess
import tempfile
import time
from typing import Any

from rows import BASELINE, Peer, Row, Worker
from stopwatch import STARTED

HERE = Path(__file__).parent
TIMEOUT = 1_800  # s
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
NO_GPU = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}

Measure = Callable[[Worker], dict[str, Any]]


class WorkerError(RuntimeError):
    """A worker failed; the message has the end of what it printed."""


def parse(output: str) -> dict[str, Any]:
    """The last line of JSON with a `value`, among whatever else a worker and its libraries print.

    Raises:
        WorkerError: if there is none.
    """
    for line in reversed(output.splitlines()):
        try:
            result = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(result, dict) and "value" in result:
            return result
    raise WorkerError("it printed no result:\n" + output[-2_000:])


@dataclasses.dataclass(frozen=True)
class Processes:
    """Runs a worker as a process on one core with one thread of each kind, or as a user starts it.

    Args:
        pythons: by the names in `rows`.
        core: the core; a negative number for any; None: any, and as many threads as each library takes by itself.
        baseline: the directory of another checkout, whose polyrl the workers of `rows.BASELINE` train with.
        together: processes of a worker that run at the same time.
    """

    pythons: Mapping[str, str]
    core: int | None = 0
    baseline: str | None = None
    together: int = 1

    def __call__(self, worker: Worker) -> dict[str, Any]:
        """What the worker measured; of several at the same time the first one's, with the mean of their values.

        Raises:
            WorkerError: if it fails or takes too long.
        """
        with ThreadPoolExecutor(self.together) as pool:
            results = list(pool.map(self._one, [worker] * self.together))
        return {**results[0], "value": statistics.mean(result["value"] for result in results)}

    def _one(self, worker: Worker) -> dict[str, Any]:
        one = self.core is not None and self.core >= 0
        pinned = ["taskset", "-c", str(self.core)] if one and shutil.which("taskset") else []
        command = [*pinned, self.pythons[worker.python], str(HERE / worker.script), *worker.arguments]
        with tempfile.TemporaryDirectory() as directory:
            path = f"{self.baseline}:{HERE}" if worker.python == BASELINE else str(HERE)
            environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": directory, STARTED: str(time.time())}
            environment |= NO_GPU if self.core is None else NO_GPU | ONE_THREAD
            try:
                done = subprocess.run(
                    command, env=environment, cwd=directory, timeout=TIMEOUT, capture_output=True, text=True, errors="replace"
                )
            except subprocess.TimeoutExpired as error:
                raise WorkerError(f"it took more than {TIMEOUT} s") from error
        if done.returncode:
            raise WorkerError(f"exit status {done.returncode}:\n{(done.stderr or done.stdout)[-2_000:]}")
        return parse(done.stdout)


@dataclasses.dataclass
class Figures:
    """What the processes of one worker measured."""

    results: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    error: str = ""

    @property
    def values(self) -> list[float]:
        """One value for each process."""
        return [float(result["value"]) for result in self.results]

    @property
    def median(self) -> float | None:
        """None if there is no complete set of figures."""
        return statistics.median(self.values) if self.results and not self.error else None


@dataclasses.dataclass
class Comparison:
    """A line of the table: a row, and one of its peers if it has any. Figures are None for a peer that was left out."""

    row: Row
    ours: Figures
    peer: Peer | None = None
    theirs: Figures | None = None

    @property
    def ratio(self) -> float | None:
        """How many times better polyrl is, by the medians."""
        ours, theirs = self.ours.median, None if self.theirs is None else self.theirs.median
        if ours is None or theirs is None:
            return None
        return ours / theirs if self.row.more_is_better else theirs / ours

    @property
    def reached(self) -> bool | None:
        """Whether all that is aimed at is reached; None if nothing is, or if it was not measured."""
        checks: list[bool | None] = []
        if self.row.limit is not None:
            checks.append(None if self.ours.median is None else self.ours.median <= self.row.limit)
        if self.peer is not None and self.peer.target is not None:
            checks.append(None if self.ratio is None else self.ratio >= self.peer.target)
        return None if not checks or None in checks else all(checks)


def measure_row(
    row: Row, pairs: int, pythons: Mapping[str, str], measure: Measure, tell: Callable[[Worker, Figures], None]
) -> list[Comparison]:
    """Measures polyrl and those of its peers that have a Python, in turn, `pairs` times each.

    A worker that fails is not run again. `tell` is called after each process.
    """
    ours = Figures()
    theirs = {peer: Figures() if pythons.get(peer.worker.python) else None for peer in row.peers}
    turns: Sequence[tuple[Worker, Figures | None]] = [
        (row.worker, ours),
        *((peer.worker, figures) for peer, figures in theirs.items()),
    ]
    for _ in range(pairs):
        for worker, figures in turns:
            if figures is None or figures.error:
                continue
            try:
                figures.results.append(measure(worker))
            except WorkerError as error:
                figures.error = str(error)
            tell(worker, figures)
    if not row.peers:
        return [Comparison(row, ours)]
    return [Comparison(row, ours, peer, figures) for peer, figures in theirs.items()]
