"""How a training run resumes from the newest checkpoint."""

from __future__ import annotations

import logging
from typing import Any

from polyrl.errors import CheckpointMismatchError
from polyrl.estimators.checkpoints import CheckpointManager
from polyrl.models.scope import Scope
from polyrl.replay import Replay

logger = logging.getLogger("polyrl")


def resume(checkpoints: CheckpointManager, scope: Scope, memory: Replay) -> dict[str, Any] | None:
    """Reads the newest checkpoint into variables that exist already; returns its `state.json`, or None if there is none.

    Raises:
        CheckpointMismatchError: if it does not fit, or was trained with another seed.
    """
    path = checkpoints.latest()
    if path is None:
        return None
    state = checkpoints.restore(path, scope, memory)
    if state["seed"] != scope.seed:
        raise CheckpointMismatchError(
            f"{path} was trained with seed={state['seed']}, this run has seed={scope.seed}; use the same, or another "
            "model_dir."
        )
    logger.info(
        "Resuming from %s: environment step %d, update %d, episode %d, %d transitions in memory.",
        path,
        state["global_timestep"],
        state["global_step"],
        state["global_episode"],
        int(memory.stored().numpy()),
    )
    return state
