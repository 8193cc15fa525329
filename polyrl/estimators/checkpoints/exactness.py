"""What a resumed run must have in common with the run before to be the same one, bit for bit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from polyrl.estimators.run_config import RunConfig
from polyrl.estimators.threads import threads_in_use

PACKAGES = ("tensorflow", "tf-keras", "numpy", "gymnasium")
"""Packages: results of another version may differ in the last bits."""

SETTINGS = ("jit", "overlap", "strategy", "exact_resume", "save_checkpoints_timesteps", "save_checkpoints_secs")
"""Arguments of `RunConfig`: they change the order of computations, or where environments start new episodes."""


VARIABLES = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "XLA_FLAGS", "TF_XLA_FLAGS")
"""Environment variables that choose other code for the same computation. No other variable is noted."""


def circumstances(config: RunConfig, environment: str, learners: int = 1) -> dict[str, Any]:
    """On what, how, in which environment and by how many learners a run is computed; a checkpoint notes it."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    settings = {name: getattr(config, name) for name in SETTINGS}
    variables = {name: os.environ.get(name) for name in VARIABLES}
    return {
        **variables,
        "environment": environment,
        "learners": learners,
        "python": platform.python_version(),
        "processor": processor(),
        "threads": threads_in_use(),
        **versions,
        **settings,
    }


def processor() -> str:
    """The processor's name as far as the system tells it: another one may have other instructions."""
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """How the circumstances differ, in words; empty if they do not."""
    changed = [f"{name}={before[name]} before, {value} now" for name, value in now.items() if before.get(name, value) != value]
    return f" It is not the same run bit for bit: {'; '.join(changed)}." if changed else ""


class Resumes(Protocol):
    """What a loop says of its own resumption, see `polyrl.estimators.loops.loop.Loop`."""

    resets_environments: bool
    may_keep: Sequence[str]
    inexact: str


def promise(config: RunConfig, loop: Resumes, unsaved_draws: Sequence[str] = ()) -> str:
    """What a run says at its start of its own resumption.

    Args:
        config: of the run.
        loop: of the run.
        unsaved_draws: TensorFlow's operations in an update that draw random numbers from a state which no checkpoint holds.
    """
    resets_environments, may_keep = loop.resets_environments, loop.may_keep
    by_time = config.save_checkpoints_secs is not None
    reasons = [
        *([loop.inexact] if loop.inexact else []),
        *(["exact_resume=False"] if resets_environments and not config.exact_resume else []),
        *(["save_checkpoints_secs, as time is not the same twice"] if resets_environments and by_time else []),
        *(["save_replay=False, as the memory would start empty"] if not config.save_replay else []),
        *([f"the networks draw by {', '.join(unsaved_draws)}, not by a layer of tf-keras's"] if unsaved_draws else []),
    ]
    if reasons:
        return f"Once resumed, this run would not be the same bit for bit: {', '.join(reasons)}."
    every = config.save_checkpoints_timesteps
    when = "at each checkpoint" if every is None else f"every {every:,} environment steps"
    how = f"environments start new episodes {when}" if resets_environments else "environments continue in mid-episode"
    unless = (
        f" What {', '.join(may_keep)} may keep from episode to episode is not saved: give them get_checkpoint_state and "
        "set_checkpoint_state if they do."
        if may_keep
        else ""
    )
    return f"Exact resume, on this machine with these versions: {how}.{unless}"
