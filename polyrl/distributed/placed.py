"""`placed`: a program as a process that Ray places on a machine of its cluster, one core for each."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyrl.distributed.cluster import Cluster

PATIENCE = 0.2
"""Seconds between two looks at a process that is waited for."""


def _runner() -> type:
    """A class of its own, sent as it is: where it starts a program nothing else of polyrl is imported."""

    class Runner:
        """Starts a program where it is itself, which ends when it is gone."""

        def __init__(self, command: Sequence[str], log: str, variables: Mapping[str, str], starter: str):
            Path(log).parent.mkdir(parents=True, exist_ok=True)
            own = {**os.environ, **variables, starter: str(os.getpid())}
            with open(log, "ab") as file:
                self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=own)

        def poll(self) -> int | None:
            """Its exit status; None while it runs."""
            return self._process.poll()

        def terminate(self) -> None:
            """Asks it to end."""
            self._process.terminate()

    return Runner


class Placed:
    """A program on some machine, with what `subprocess.Popen` has of it: `poll`, `terminate`, `wait`.

    Args:
        cluster: that places it.
        command: the program and its arguments.
        log: file that what it shows is appended to; of a file system that all machines have.
        variables: of its environment.
        starter: the variable that tells it who started it: it ends when that process is gone.
    """

    def __init__(self, cluster: Cluster, command: Sequence[str], log: Path, variables: Mapping[str, str], starter: str):
        self._cluster = cluster
        given = list(command), str(log), dict(variables), starter
        self._runner = cluster.start(_runner(), *given, restarts=0, computes=False)
        self._asked: Any = None
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its exit status; None while it runs, or waits for a core. Killed with its machine it is as by SIGKILL."""
        if self._status is None:
            self._asked = self._runner.poll.remote() if self._asked is None else self._asked
            self._status = self._answer()
        return self._status

    def terminate(self) -> None:
        """Asks it to end."""
        if self._status is None:
            self._runner.terminate.remote()

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        while (status := self.poll()) is None:
            time.sleep(PATIENCE)
        return status

    def _answer(self) -> int | None:
        """What it has said of itself; None if it has not, or while it runs."""
        if not self._cluster.wait_for(self._asked, 0.0):
            return None
        asked, self._asked = self._asked, None
        try:
            status = self._cluster.get(asked)
        except self._cluster.DIED:
            status = -int(signal.SIGKILL)
        if status is not None:
            self._cluster.end(self._runner)  # It would keep its core from those that wait for one.
        return status
