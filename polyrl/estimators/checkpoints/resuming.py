"""How a training run resumes from the newest checkpoint."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polyrl.errors import CheckpointMismatchError, DamagedCheckpointError
from polyrl.estimators.checkpoints.exactness import changes
from polyrl.estimators.checkpoints.files import FILES
from polyrl.estimators.checkpoints.manager import CheckpointManager, read_state
from polyrl.estimators.checkpoints.params import had_checkpoints, is_noted
from polyrl.estimators.events import SUFFIX
from polyrl.estimators.loops.loop import Loop
from polyrl.models.scope import Scope
from polyrl.replay import Replay, shards

logger = logging.getLogger("polyrl")

COMPARED = {
    "state_spec": ("in another environment, whose states differ", "Use the same one"),
    "first_action": ("in another environment, whose lowest action differs", "Use the same one"),
    "memory": ("with another memory", "Use the same arguments"),
    "schedule": ("by another schedule of updates", "Use the same first_update, update_frequency and updates_at_once"),
    "models": ("with other arguments of the model", "Use the same arguments"),
}
"""The parts of a run's configuration that must not change, by the key in `state.json`: the words for it, and the remedy."""


def resume(
    checkpoints: CheckpointManager,
    scope: Scope,
    memory: Replay,
    loop: Loop,
    circumstances: Mapping[str, Any],
    tell: Callable[[str], None],
    warn: Callable[[str], None],
) -> dict[str, Any] | None:
    """Reads the newest checkpoint into variables that exist already; returns its `state.json`, or None if there is none.

    Args:
        checkpoints: of the run.
        scope: the models' state.
        memory: the replay memory.
        loop: the environments and the schedule of updates.
        circumstances: on what and how the run is computed, see `polyrl.estimators.checkpoints.exactness`.
        tell: shows a line that says where the run resumes from.
        warn: shows it instead if the environment or something else is another one than before.

    Raises:
        CheckpointMismatchError: if it does not fit, or was trained with another seed, on other states or actions, with other
            arguments of model, memory or schedule, or with another number of environments where the memory depends on it.
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
        if had_checkpoints(checkpoints.model_dir):
            raise DamagedCheckpointError(
                f"{checkpoints.model_dir} held checkpoints, as its params.json says, and holds none now. Put one back from a "
                "copy, remove what is left there to begin again, or use another model_dir."
            )
        if not is_noted(checkpoints.model_dir) and (shown := sorted(checkpoints.model_dir.glob(f"events.*{SUFFIX}"))):
            raise DamagedCheckpointError(
                f"{checkpoints.model_dir} holds {shown[0].name}, of a run that was trained there, and neither params.json nor "
                "a checkpoint. Put them back from a copy, remove what is left there to begin again, or use another model_dir."
            )
        return None

    def read(path: Path) -> tuple[Path, dict[str, Any]]:
        _check_seed(path, scope.seed)  # With another one the environments would come to other states, or fail on the way.
        _check_configuration(path, {**loop.described, "memory": memory.described, "models": scope.learners()})
        _check_num_envs(path, memory)
        state = checkpoints.restore(path, scope, memory)
        loop.read_environment(path, state)
        return path, state

    path, state = checkpoints.reading("latest", read)
    checkpoints.resume_from(state)
    lost = _lost_memory(path, state, memory, loop) + (lost_best := _lost_best(checkpoints, state))
    changed = changes(
        {**state.get("circumstances", {}), "num_envs": state["num_envs"]}, {**circumstances, "num_envs": loop.num_envs}
    )
    show = warn if changed or lost_best else tell
    show(
        f"Resuming from {path}: environment step {state['global_timestep']}, update {state['global_step']}, episode "
        f"{state['global_episode']}, {int(memory.stored().numpy())} transitions in memory."
        f"{lost}{changed}"
    )
    return state


def _lost_memory(path: Path, state: Mapping[str, Any], memory: Replay, loop: Loop) -> str:
    """Has the updates wait if the checkpoint has no memory; says so, and warns, unless this process still has it."""
    was_saved = shards.INDEX in state[FILES]
    # A memory in other processes that did not answer was left out.
    if state["global_timestep"] == 0 or (was_saved and int(memory.inserted.numpy()) > 0):
        return ""
    first = loop.wait_for_memory(state["global_timestep"])
    if int(memory.inserted.numpy()) > 0:
        return ""
    text = f"starts empty, and updates wait until it holds first_update steps, at environment step {first}."
    logger.warning("%s was written %s: the memory %s", path, "without it" if was_saved else "with save_replay=False", text)
    return f" The memory was not saved: it {text}"


def _lost_best(checkpoints: CheckpointManager, state: Mapping[str, Any]) -> str:
    """Says so if the best checkpoint that there was is not there any more."""
    score = state.get("best_score")
    if score is None or checkpoints.best() is not None:
        return ""
    return (
        f" The best checkpoint, of an evaluation with {round(score, 3)}, is not in {checkpoints.best_directory} any more; the "
        "next one that is at least as good takes its place."
    )


def _check_seed(path: Path, seed: int) -> None:
    before = read_state(path)["seed"]
    if before != seed:
        raise CheckpointMismatchError(
            f"{path} was trained with seed={before}, this run has seed={seed}; use the same, or another model_dir."
        )


def _check_configuration(path: Path, now: Mapping[str, Any]) -> None:
    """Refuses what differs from what the run was trained with; what is not noted there is not compared."""
    before = read_state(path)
    now = json.loads(json.dumps(dict(now)))  # As the file gives it back.
    for key, (what, advice) in COMPARED.items():
        if key not in before or key not in now:
            continue
        if key == "state_spec":
            changed = _differences_of_states(before[key], now[key])
        else:
            there, here = (part if isinstance(part, dict) else {key: part} for part in (before[key], now[key]))
            changed = _differences("", there, here)
        if changed:
            raise CheckpointMismatchError(f"{path} was trained {what}: {'; '.join(changed)}. {advice}, or another model_dir.")


def _differences_of_states(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Of two descriptions by `polyrl.estimators.inputs.describe_state`: also parts that only one of them has, as a mask."""
    if "dict" not in there and "dict" not in now:
        return _differences("", there, now)
    before, after = (spec.get("dict", {"state": spec}) for spec in (there, now))
    found = _differences("", before, after)
    found += [f"no {name} there, {after[name]} now" for name in after if name not in before]
    return found + [f"{name}={before[name]} there, none now" for name in before if name not in after]


def _differences(place: str, there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Of what both have: checkpoints of before may lack an argument."""
    found: list[str] = []
    for name, value in now.items():
        if name not in there or there[name] == value:
            continue
        if isinstance(value, dict) and isinstance(there[name], dict):
            found += _differences(f"{place}{name}.", there[name], value)
        else:
            found.append(f"{place}{name}={there[name]} there, {value} now")
    return found


def _check_num_envs(path: Path, memory: Replay) -> None:
    """Refuses another number of environments where windows or stacks of frames depend on it; elsewhere it may differ."""
    before = read_state(path).get("num_envs")
    if before is None or before == memory.num_envs or not memory.in_lockstep:
        return
    reason = f"n_step={memory.n_step}" if memory.frame_stack is None else f"frame_stack={memory.frame_stack}"
    reason = "sequences" if memory.SEQUENCES else reason
    raise CheckpointMismatchError(
        f"{path} was trained with num_envs={before}, this run has num_envs={memory.num_envs}: with {reason} the memory's rows "
        "depend on it. Use the same number, or another model_dir. (It may differ with n_step=1, and without frame_stack or "
        "sequences.)"
    )
