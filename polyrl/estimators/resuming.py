"""How a training run resumes from the newest checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polyrl.errors import CheckpointMismatchError, DamagedCheckpointError
from polyrl.estimators.checkpoints import CheckpointManager, read_state
from polyrl.models.scope import Scope
from polyrl.replay import Replay


def resume(
    checkpoints: CheckpointManager, scope: Scope, memory: Replay, described: Mapping[str, Any], tell: Callable[[str], None]
) -> dict[str, Any] | None:
    """Reads the newest checkpoint into variables that exist already; returns its `state.json`, or None if there is none.

    Args:
        checkpoints: of the run.
        scope: the models' state.
        memory: the replay memory.
        described: the environment's states and actions, see `polyrl.estimators.inputs.describe`.
        tell: shows a line that says where the run resumes from.

    Raises:
        CheckpointMismatchError: if it does not fit, or was trained with another seed, on other states or actions, or with
            another number of environments where the memory depends on it.
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
        _check_environment(path, described)
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


def _check_environment(path: Path, described: Mapping[str, Any]) -> None:
    """Refuses an environment whose states or actions are not those of the training; what is not noted is not compared."""
    before = read_state(path)
    now = json.loads(json.dumps(dict(described)))  # As the file gives it back.
    words = {"state_spec": "states", "first_action": "lowest action"}
    changed = [
        f"its {words[key]}: {before[key]} there, {value} now"
        for key, value in now.items()
        if key in words and before.get(key, value) != value
    ]
    if changed:
        raise CheckpointMismatchError(
            f"{path} was trained in another environment: {'; '.join(changed)}. Use the same one, or another model_dir."
        )


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
