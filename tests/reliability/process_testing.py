"""Starts `fault_program.py`, and looks at what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent / "fault_program.py"
LONG_AGO = 120.0
"""Seconds after which whatever a test waits for has failed; nothing is asserted about less."""


class Run:
    """A training process in a directory of its own."""

    def __init__(self, directory: Path, *flags: str, **options):
        self.model_dir, self._pids = directory / "run", directory / "pids"
        self._pids.mkdir(exist_ok=True)
        own = ["--mode=train", f"--model_dir={self.model_dir}", f"--pids={self._pids}", "--save_checkpoints_timesteps=100000"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = subprocess.Popen([sys.executable, str(PROGRAM), *own, *flags], **{**pipes, **options})

    def end(self) -> tuple[int, str]:
        """The exit status, as a shell has it, and what was written."""
        output, _ = self.process.communicate(timeout=LONG_AGO)
        status = self.process.returncode
        return (128 - status if status < 0 else status), output or ""

    def checkpoints(self) -> list[int]:
        """The environment steps of the whole checkpoints."""
        names = [path.parent.name[5:] for path in self.model_dir.glob("checkpoints/ckpt-*/state.json")]
        return sorted(int(name) for name in names if name.isdigit())

    def environments(self) -> list[int]:
        """The processes of environments, of the main one too if they are there, that ever were."""
        return [int(path.name) for path in self._pids.iterdir()]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        wait_for(lambda: condition() or self.process.poll() is not None)
        assert self.process.poll() is None, self.end()


@contextmanager
def running(directory: Path, *flags: str, **options) -> Iterator[Run]:
    """A run that is killed at the end, if it is still there."""
    run = Run(directory, *flags, **options)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_AGO
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def lives(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
