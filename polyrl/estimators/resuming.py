"""How a training run resumes from the newest checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from polyrl.errors import CheckpointMismatchError, DamagedCheckpointError
from polyrl.estimators.checkpoints import CheckpointManager, read_state
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
        CheckpointMismatchError: if it does not fit, or was trained with another seed, or another number of environments where
            the memory depends on it.
        DamagedCheckpointError: if no checkpoint is whole, or only the best one is left.
    """
    checkpoints.clear()
    best = checkpoints.best()  # Damaged, it is refused before there is a new best one.
    if checkpoints.latest() is None:
        if best is not None:
            raise DamagedCheckpointError(
                f"{checkpoints.model_dir} holds {best}, of a run that was trained there, and no checkpoint to resume from. "
                "Put one back from a copy, or use another model_dir."
            )
        return None

    def read(path: Path) -> tuple[Path, dict[str, Any]]:
        _check_memory(path, memory)
        _check_num_envs(path, memory)
        return path, checkpoints.restore(path, scope, memory)

    path, state = checkpoints.reading("latest", read)
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


def _check_memory(path: Path, memory: Replay) -> None:
    """Refuses a memory whose variables differ from those of the checkpoint, by the arguments that it was made with."""
    before = read_state(path).get("memory", {})
    changed = [
        f"{name}={before[name]} there, {value} now"
        for name, value in memory.described.items()
        if before.get(name, value) != value
    ]
    if changed:
        raise CheckpointMismatchError(
            f"{path} was trained with another memory: {'; '.join(changed)}. Use the same arguments, or another model_dir."
        )


def _check_num_envs(path: Path, memory: Replay) -> None:
    """Refuses another number of environments where windows or stacks of frames depend on it; elsewhere it may differ."""
    before = read_state(path).get("num_envs")
    if before is None or before == memory.num_envs or not memory.in_lockstep:
        return
    reason = f"n_step={memory.n_step}" if memory.frame_stack is None else f"frame_stack={memory.frame_stack}"
    raise CheckpointMismatchError(
        f"{path} was trained with num_envs={before}, this run has num_envs={memory.num_envs}: with {reason} the memory's rows "
        "depend on it. Use the same number, or another model_dir. (It may differ with n_step=1 and without frame_stack.)"
    )
