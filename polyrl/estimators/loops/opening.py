"""How a training run begins: one at a time, with the loop that suits the environment."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from polyrl.engine.compiler import Compiler
from polyrl.envs import EnvDriver, open_env
from polyrl.envs.checking import check_environment
from polyrl.envs.compiled import CompiledEnvironment
from polyrl.envs.gym import EnvLike
from polyrl.estimators.checkpoints.manager import CheckpointManager, read_state
from polyrl.estimators.loops.graph_driver import GraphDriver
from polyrl.estimators.loops.graph_loop import GraphLoop
from polyrl.estimators.loops.learner import Learner
from polyrl.estimators.loops.loop import BringsLoop, Loop, UpdateSchedule
from polyrl.estimators.loops.overlap import OverlappedLoop
from polyrl.estimators.loops.python_loop import PythonLoop
from polyrl.estimators.run_config import RunConfig
from polyrl.models.scope import Scope
from polyrl.replay import Replay
from polyrl.validation import check_int


def update_schedule(first_update: int, update_frequency: int, updates_at_once: int) -> UpdateSchedule:
    """The schedule that `Agent.train` is given; a TypeError or ValueError if it is not valid."""
    frequency = check_int("update_frequency", update_frequency, minimum=1)
    first = check_int("first_update", first_update, minimum=0)
    return UpdateSchedule(first, frequency, check_int("updates_at_once", updates_at_once, minimum=1))


def begins_at(checkpoints: CheckpointManager, scope: Scope, overwrite: bool) -> int:
    """The environment steps that a run begins with: those of the newest checkpoint, or without one those done.

    Raises:
        ValueError: if it is to begin again, and the agent has trained already.
    """
    done = int(scope.global_timestep.numpy())
    if overwrite and done:
        raise ValueError(
            f"overwrite=True begins again, and this agent has weights that it trained for {done} environment steps; make a "
            "new Agent."
        )
    path = None if overwrite else checkpoints.latest()
    return done if path is None else int(read_state(path)["global_timestep"])


def checked_pretraining(pretrain_updates: int, memory: Replay) -> int:
    """The number of updates before the first environment step; a ValueError if there is nothing to learn from."""
    updates = check_int("pretrain_updates", pretrain_updates, minimum=0)
    if updates and memory.demonstrations is None:
        raise ValueError(
            f"pretrain_updates={updates} needs demonstrations in the memory, as UniformReplay(demonstrations="
            "polyrl.demos.load('demos.npz')); this one has none."
        )
    return updates


def check_pretrained_models(updates: int, models: Mapping[str, Mapping[str, Any]]) -> None:
    """A ValueError if there is pre-training, and the target network of a model would not be updated in it.

    Args:
        updates: of pre-training.
        models: their arguments, by their names.
    """
    for name, arguments in models.items():
        period = arguments.get("target_update_timesteps")
        if updates and period is not None:
            raise ValueError(
                f"pretrain_updates={updates} needs target_update_frequency in place of target_update_timesteps={period} of "
                f"{name}: pre-training takes no environment steps, so that its target network would stay as it began."
            )


def check_pretraining_is_first(updates: int, step: int, timestep: int, model_dir: Path) -> None:
    """A ValueError if a run is past its pre-training, and would be given more of it.

    Args:
        updates: of pre-training.
        step: gradient updates done.
        timestep: environment steps done.
        model_dir: where the run is.
    """
    if timestep > 0 and step < updates:
        raise ValueError(
            f"pretrain_updates={updates} come before the first environment step; the run in {model_dir} has taken {timestep} "
            f"after {step} updates. Use the number it began with, or another model_dir."
        )


@contextlib.contextmanager
def one_run(lock: threading.Lock) -> Iterator[None]:
    """Refuses a second training run of an agent while the first one is running, as in a hook: both would use one model.

    Raises:
        RuntimeError: if the lock is taken.
    """
    if not lock.acquire(blocking=False):
        raise RuntimeError(
            "Agent.train was called while this agent is training, as by a hook. Call it after the run has ended, or use "
            "another Agent with another model_dir."
        )
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def open_loop(
    env: EnvLike,
    learner: Learner,
    compiler: Compiler,
    schedule: UpdateSchedule,
    timestep: int,
    config: RunConfig,
    graph_driver: Callable[[CompiledEnvironment], GraphDriver],
) -> Iterator[Loop]:
    """A loop, whose variables are not built; closes at its end what it has opened.

    Environments in Python are reset: only that shows what their states are.

    Args:
        env: what `Agent.train` takes.
        learner: stores and learns.
        compiler: of the calls.
        schedule: of the updates.
        timestep: where the run begins or resumes, in environment steps.
        config: whether environments in Python are checked first, and whether they step beside the learner.
        graph_driver: the driver of an in-graph environment, which is kept from call to call.
    """
    if isinstance(env, BringsLoop):
        with env.open_loop(learner, compiler, schedule, timestep, config) as loop:
            yield loop
        return
    if isinstance(env, CompiledEnvironment):
        if config.overlap:
            raise ValueError("overlap=True: an in-graph environment steps with the learner, not beside it; leave it False.")
        yield GraphLoop(graph_driver(env), learner, compiler, schedule)
        return
    if config.check_env:
        check_environment(env)
    with open_env(env, purpose="training") as vector:
        kind = OverlappedLoop if config.overlap else PythonLoop
        # Only where the environments are reset from time to time: there would be more and more of them.
        keeps_actions = config.exact_resume and config.save_checkpoints_timesteps is not None
        yield kind(EnvDriver(vector), learner, compiler, schedule, timestep, keeps_actions)
