"""Runs as processes, several side by side: for runs with several seeds, and for sweeps."""

from __future__ import annotations

import contextlib
import csv
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol

from polyrl.paths import make_directory

logger = logging.getLogger("polyrl")

ONE_CORE = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Several processes with as many threads as cores each would stand in each other's way."""

STARTER = "POLYRL_STARTED_BY"
"""The environment variable that tells a run the number of the process that started it."""

LOOKS = 1.0
"""Seconds between two looks whether that one is still there."""

ERROR = re.compile(r"(\w+\.)*\w*(Error|Exception|Interrupt)\b")
"""How the first line of an error begins."""


class Started(Protocol):
    """A run that was started: what `subprocess.Popen` has of it."""

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""

    def terminate(self) -> None:
        """Asks it to end."""

    def wait(self) -> int:
        """Its exit status, once it has ended."""


Start = Callable[[Sequence[str], Path], Started]
"""Starts a command, whose output goes to a file."""


def start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Starts a run on one core, unless the environment says how many; what it shows is appended to the file `log`.

    It ends when this process has ended, whatever ended that, see `end_with_starter`.
    """
    make_directory(log.parent)
    variables = {**ONE_CORE, **os.environ, STARTER: str(os.getpid())}
    with open(log, "ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=variables)


@contextlib.contextmanager
def placed_by_ray(address: str | None, jobs: int) -> Iterator[Start]:
    """What starts runs as `start` does, but where Ray places them, each on a core of its own.

    Args:
        address: of a cluster that is there; None: one of its own, on this machine, with as many cores as there are jobs.
        jobs: runs side by side.
    """
    from polyrl.distributed.cluster import connected  # Ray is an extra.
    from polyrl.distributed.placed import Placed

    # As this program's, not as that of Ray's processes, which has the directory of the program in it.
    variables = {**ONE_CORE, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    with connected(address, jobs) as cluster:
        yield lambda command, log: Placed(cluster, command, log, variables, STARTER)


def end_with_starter() -> None:
    """Has this process end, as by SIGTERM, so a run with a checkpoint, when the one that started it as a run is gone.

    That one may have been killed, and could not end its runs. Without effect in what was started otherwise, and in processes
    that this one starts.
    """
    starter = os.environ.pop(STARTER, None)
    if starter is None or os.name != "posix":  # Elsewhere the number of the parent stays.
        return

    def watch() -> None:
        while os.getppid() == int(starter):
            time.sleep(LOOKS)
        print("The process that started this run is gone: it ends as by SIGTERM.", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def ended_with_this(running: Collection[Started]) -> Iterator[None]:
    """At the end of the `with` block, also by Ctrl-C, SIGTERM or SIGHUP, what is still running is ended with a checkpoint."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # As a shell starts what it runs in the background.
        numbers.append(signal.SIGINT)
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for process in running:
            process.terminate()  # After Ctrl-C, which they had too, polyrl takes it for the same signal.
        if running:
            logger.info("Interrupted: the runs under way end with a checkpoint. The same command goes on with them.")
        for process in running:
            process.wait()


def last_words(log: Path) -> str:
    """What a run said at its end, in one line: its error, if it had one."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    said = [line for line in lines if line and not line.startswith("(--debug")]
    return said[-1] if said else "nothing"


def last_error(log: Path) -> str:
    """The lines of the error that ended a run, from its name on; its last words, if none is shown."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    begins = [number for number, line in enumerate(lines) if ERROR.match(line)]
    if not begins:
        return last_words(log)
    return "\n".join(line for line in lines[begins[-1] :] if not line.startswith("(--debug"))


def evaluations(file: Path) -> list[dict[str, float]]:
    """The rows of an `evaluations.csv` as far as they are whole: the run may be writing it, or not have begun."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1]
    return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(whole.splitlines())]
