"""The hooks that an agent attaches to every training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf

from polyrl.estimators.hooks.base import Hook
from polyrl.estimators.hooks.checkpoint import CheckpointHook
from polyrl.estimators.hooks.evaluation import evaluates_every
from polyrl.estimators.hooks.guards import NanHook, StopHook
from polyrl.estimators.hooks.hints import HintsHook
from polyrl.estimators.hooks.panels import PanelsHook
from polyrl.estimators.hooks.progress import progress_hook
from polyrl.estimators.hooks.summary import SummaryHook
from polyrl.estimators.hooks.support import SupportHook
from polyrl.estimators.run_config import RunConfig
from polyrl.models.scope import Scope
from polyrl.replay import Replay


class Learns(Protocol):
    """What hooks want to know of a learner: its support, its graph, and the models in its scope."""

    support: tuple[float, ...] | None
    acting_graph: tf.Graph
    scope: Scope


def default_hooks(
    config: RunConfig,
    memory: Replay,
    learner: Learns,
    params: Mapping[str, Any],
    updates: Callable[[int, int], int] | None = None,
    begins_untrained: bool = True,
    others: Sequence[Hook] = (),
) -> list[Hook]:
    """In the order in which they run; the guard against NaN comes before anything is written.

    Args:
        config: cadences and display.
        memory: the replay memory.
        learner: has been built.
        params: hyper-parameters, to be shown.
        updates: the gradient updates that are due from some environment steps to others, if that is known.
        begins_untrained: False of a run whose weights come from another one.
        others: the run's other hooks.
    """
    hooks: list[Hook] = [NanHook(), StopHook(), HintsHook(learner.scope.learners(), updates, begins_untrained, memory)]
    if learner.support is not None:
        hooks.append(SupportHook(memory, *learner.support))
    if config.save_summary_timesteps is not None or config.save_summary_secs is not None:
        hooks.append(PanelsHook(params, learner.acting_graph))
        hooks.append(SummaryHook(config.save_summary_timesteps, config.save_summary_secs, config.max_overhead))
    if config.save_checkpoints_timesteps is not None or config.save_checkpoints_secs is not None:
        cadence = config.save_checkpoints_timesteps, config.save_checkpoints_secs, config.max_overhead
        is_chosen = config.save_checkpoints_timesteps != RunConfig.save_checkpoints_timesteps
        hooks.append(CheckpointHook(*cadence, at_multiples=config.exact_resume, tells=is_chosen))
    if config.progress:
        hooks.append(progress_hook(evaluates_every(others)))
    return hooks
