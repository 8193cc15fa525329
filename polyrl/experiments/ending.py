"""Whether a run that another process trains has come to its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyrl.estimators.checkpoints.files import read_state

UNITS = {"max_steps": "global_step", "max_timesteps": "global_timestep", "max_episodes": "global_episode"}


def finished(budget: Mapping[str, int | None], counters: Mapping[str, Any]) -> bool:
    """Whether a checkpoint with these counters is at the end of the budget, as `Agent.train` names it."""
    return any(limit is not None and counters[UNITS[name]] >= limit for name, limit in budget.items())


def ended(budget: Mapping[str, int | None], checkpoint: Path) -> bool:
    """Whether the run ended with this checkpoint: a hook ended it (such as: it was solved); or, if there is no budget to wait
    for, that of the trainer was reached.
    """
    try:
        state = read_state(checkpoint)
        waits = any(limit is not None for limit in budget.values())
        return state.get("ended") is not None or (not waits and state.get("spent", False))
    except FileNotFoundError:  # Pruned: the run has continued.
        return False
