"""`TrainingResult`: how a call of `Agent.train` ended."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How a call of `train` ended: the counters, why it stopped, by which signal if by one, and the last checkpoint."""

    global_step: int
    global_timestep: int
    global_episode: int
    stop_reason: str
    signal: int | None
    checkpoint: Path
