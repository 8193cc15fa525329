"""How a training run resumes from the newest checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polyrl.errors import CheckpointMismatchError
from polyrl.estimators.checkpoints import CheckpointManager
from polyrl.models.scope import Scope
from polyrl.replay import Replay


def resume(checkpoints: CheckpointManager, scope: Scope, memory: Replay, tell: Callable[[str], None]) -> dict[str, Any] | None:
    """Reads the newest checkpoint into variables that exist already; returns its `state.json`, or None if there is none.

    Args:
        checkpoints: of the run.
        scope: the models' state.
        memory: the replay memory.
        tell: shows a line that says where the run resumes from.

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
    tell(
        f"Resuming from {path}: environment step {state['global_timestep']}, update {state['global_step']}, episode "
        f"{state['global_episode']}, {int(memory.stored().numpy())} transitions in memory."
    )
    return state
