"""The hooks that an agent attaches to every training run."""

from __future__ import annotations

from polyrl.estimators.hooks.base import Hook
from polyrl.estimators.hooks.checkpoint import CheckpointHook
from polyrl.estimators.hooks.guards import NanHook, StopHook
from polyrl.estimators.hooks.progress import progress_hook
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
        hooks.append(progress_hook())
    return hooks
