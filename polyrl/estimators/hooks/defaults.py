"""The hooks that an agent attaches itself."""

from __future__ import annotations

import sys

from rich.console import Console

from polyrl.estimators.hooks.base import Hook
from polyrl.estimators.hooks.checkpoint import CheckpointHook
from polyrl.estimators.hooks.guards import NanHook, StopHook
from polyrl.estimators.hooks.progress import LoggingHook, ProgressHook
from polyrl.estimators.hooks.summary import SummaryHook
from polyrl.estimators.run_config import RunConfig


def default_hooks(config: RunConfig) -> list[Hook]:
    """In the order in which they run; the guard against NaN comes before anything is written."""
    hooks: list[Hook] = [NanHook(), StopHook()]
    if config.save_summary_timesteps is not None or config.save_summary_secs is not None:
        hooks.append(SummaryHook(config.save_summary_timesteps, config.save_summary_secs, config.max_overhead))
    if config.save_checkpoints_timesteps is not None or config.save_checkpoints_secs is not None:
        hooks.append(CheckpointHook(config.save_checkpoints_timesteps, config.save_checkpoints_secs, config.max_overhead))
    if config.progress:
        console = Console(stderr=True)
        hooks.append(ProgressHook(console) if console.is_terminal and sys.stderr.isatty() else LoggingHook())
    return hooks
