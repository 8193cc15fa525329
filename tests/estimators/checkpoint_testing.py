"""Short episodes, and what lies in a directory, for the tests of checkpoints."""

from __future__ import annotations

from pathlib import Path

from tiny_envs import ScheduleEnv, vector

BATCH = 4
LENGTH = 4


def schedule(first: int = 0, num_envs: int = 2):
    """Environments whose episodes have four steps."""
    return vector(*(ScheduleEnv(number, (LENGTH,), first=first) for number in range(num_envs)))


def state_of(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}
