"""Environments that misbehave: at a step, or at a reset, of their process's first one on."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from tiny_envs import ScheduleEnv

DEEDS = {
    "raise": lambda: (_ for _ in ()).throw(KeyError("no such level")),
    "exit": lambda: os._exit(3),
    "sys.exit": lambda: sys.exit(4),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crash": lambda: (faulthandler.disable(), ctypes.string_at(0)),
    "sleep": lambda: time.sleep(1_000),
    "C": lambda: ctypes.CDLL(None).sleep(1_000),  # Does not come back for a signal's handler in Python.
    "loop": lambda: all(True for _ in iter(int, 1)),
}
"""What an environment may do instead of answering."""


class FaultyEnv(ScheduleEnv):
    """As a `ScheduleEnv`, but at one of its steps it does something else.

    Args:
        deed: one of `DEEDS`.
        at: the step, counted over all episodes; 0 is the first reset.
        once: a file that is made when it happens: while it is there, it does not happen again.
        owner: a process in which nothing happens.
        pids: a directory in which each process that steps it leaves a file by the name of its number.
        **arguments: of `ScheduleEnv`.
    """

    def __init__(
        self,
        deed: str = "raise",
        at: int = 3,
        once: Any = None,
        owner: int | None = None,
        pids: Any = None,
        **arguments: Any,
    ):
        super().__init__(**arguments)
        self._deed, self._at, self._once, self._owner, self._pids = deed, at, once, owner, pids

    def reset(self, *, seed=None, options=None):
        if self._pids is not None:
            (Path(self._pids) / str(os.getpid())).touch()
        self._misbehave()
        return super().reset(seed=seed, options=options)

    def step(self, action):
        result = super().step(np.int64(action))
        self._misbehave()
        return result

    def _misbehave(self) -> None:
        if self.steps != self._at or os.getpid() == self._owner:
            return
        if self._once is not None:
            if Path(self._once).exists():
                return
            Path(self._once).touch()
        DEEDS[self._deed]()
