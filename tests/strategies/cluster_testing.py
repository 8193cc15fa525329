"""Starts the processes of a cluster on this machine, and gathers what they write."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

LONG_AGO = 240.0
"""Seconds after which a process that has not ended never will."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def cluster(command: Sequence[str], directory: Path, count: int = 2) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The same command in `count` processes, the chief first; `directory` gets what each writes. All are killed at the end."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    started = []
    try:
        for index in range(count):
            content = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            threads = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
            environment = {**os.environ, **threads, "TF_CONFIG": json.dumps(content)}
            with (directory / f"{index}.out").open("wb") as out, (directory / f"{index}.err").open("wb") as err:
                started.append(subprocess.Popen([sys.executable, *command], env=environment, stdout=out, stderr=err))
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def run(command: Sequence[str], directory: Path, count: int = 2) -> list[str]:
    """What the processes of a cluster write to the standard output; all end by themselves, with status 0."""
    with cluster(command, directory, count) as processes:
        statuses = [process.wait(LONG_AGO) for process in processes]
        assert statuses == [0] * count, [written(directory, index) for index in range(count)]
    return [(directory / f"{index}.out").read_text() for index in range(count)]


def written(directory: Path, index: int) -> str:
    """All that a process wrote."""
    return (directory / f"{index}.out").read_text() + (directory / f"{index}.err").read_text()
