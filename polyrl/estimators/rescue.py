"""What is saved of a run whose environment fails, or that is left in the middle of a step."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType

import tensorflow as tf

from polyrl.errors import BrokenEnvironmentError, NonFiniteError, UnansweredError, add_note
from polyrl.estimators.loops.loop import Loop
from polyrl.estimators.signals import ENDINGS, RunInterrupted
from polyrl.models.scope import Scope
from polyrl.own_modules import own_place

logger = logging.getLogger("polyrl")

ENVIRONMENT = frozenset({("polyrl.envs.driver", "step"), ("polyrl.envs.driver", "reset")})
"""Functions, by module and name, that call environments; in training nothing has been stored of what they will return."""

HOOKS = frozenset({("polyrl.estimators.training", "_call")})
"""Functions that call hooks: between two steps."""

WHOLE = frozenset(("polyrl.estimators.training", name) for name in ("_save", "_sync", "save_best", "_rescue")) | {
    ("polyrl.envs.driver", "_refuse")
}
"""Functions that must not be left before they return, or whose errors are not an environment's."""


def may_leave(frame: FrameType | None, environment_only: bool) -> bool:
    """Whether code that is running may be left at once, so that the run can be saved as of its last whole step."""
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return _may_leave(frames, environment_only)


def _may_leave(frames: Iterable[FrameType], environment_only: bool) -> bool:
    """The same for the frames of a stack, the inmost first."""
    leaves = ENVIRONMENT if environment_only else ENVIRONMENT | HOOKS
    for frame in frames:
        function = (frame.f_globals.get("__name__", ""), frame.f_code.co_name)
        if function in leaves or function in WHOLE:
            return function in leaves
    return False


@contextlib.contextmanager
def rescued(save: Callable[[bool], Path | None], is_interrupted: Callable[[], bool]) -> Iterator[None]:
    """Inside of the `with` block, a failing environment or a second signal does not lose what was learned before.

    The error is raised again, with a note that says where the run was saved. Nothing is saved for errors of another origin,
    such as a loss that is NaN. `RunInterrupted` is caught here: the run continues to its end.

    Args:
        save: saves the run as of its last whole step, and gives the checkpoint; None if there is nothing new to save. It is
            told whether the environments are in the middle of a step; otherwise a hook was left between two of them.
        is_interrupted: whether a signal has asked for the end.
    """
    try:
        yield
    except RunInterrupted:
        pass
    except BaseException as error:
        if _is_of_the_end(error, is_interrupted):
            return
        left = isinstance(error, KeyboardInterrupt)
        if not (isinstance(error, BrokenEnvironmentError) or _may_leave(_frames(error.__traceback__), not left)):
            if (hook := _hook(_frames(error.__traceback__))) is not None:
                place = own_place(error)
                add_note(error, f"The hook's method {hook} raised this{place}. Nothing was saved after the last checkpoint.")
            raise
        try:
            path = save(not _was_in_a_hook(_frames(error.__traceback__)))
        except Exception as failure:
            add_note(error, f"The run could not be saved as of its last whole step: {type(failure).__name__}: {failure}")
        else:
            where = "Nothing was lost: no step is newer than the last checkpoint." if path is None else f"Checkpoint: {path}"
            add_note(error, f"The run is saved as of its last whole step; run it again to resume it from there. {where}")
        raise


def _was_in_a_hook(frames: Iterable[FrameType]) -> bool:
    """Whether a hook was running in the frames of a stack, the inmost first, and not a step of the training's environments."""
    for frame in frames:
        function = (frame.f_globals.get("__name__", ""), frame.f_code.co_name)
        if function in HOOKS:
            return True
        if function == ("polyrl.estimators.agent", "train"):
            return False
    return False


def _hook(frames: Sequence[FrameType]) -> str | None:
    """The name of the hook's method that was called in the frames of a stack, the inmost first; None if there is none."""
    for called, caller in itertools.pairwise(frames):
        if (caller.f_globals.get("__name__", ""), caller.f_code.co_name) in HOOKS:
            code = called.f_code
            if str(called.f_globals.get("__name__", "")).startswith("polyrl."):  # Its words say what it is about.
                return None
            return getattr(code, "co_qualname", code.co_name)  # Python 3.10 knows the name alone.
    return None


def _frames(trace: TracebackType | None) -> list[FrameType]:
    frames = []
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    return frames[::-1]


def _is_of_the_end(error: BaseException, is_interrupted: Callable[[], bool]) -> bool:
    """Whether this error is only a consequence of the event that ends the run.

    A signal to all processes of a group also kills those of the environments; a terminal that is closed cannot be written to.
    Such an error can come before this process gets its signal.
    """
    numbers = {int(getattr(signal, name)) for name in ENDINGS if hasattr(signal, name)}
    killed = isinstance(error, BrokenEnvironmentError) and error.signal in numbers
    if not (killed or (isinstance(error, OSError) and error.errno == errno.EIO)):
        return False
    deadline = time.monotonic() + 1.0
    while not is_interrupted() and time.monotonic() < deadline:
        time.sleep(0.05)  # It is on its way.
    return is_interrupted()


def whole_steps(scope: Scope, timestep: int) -> int:
    """Number of updates in the variables, if they match this number of environment steps and can be resumed from.

    It includes updates that ran beside an environment's step that failed, see `polyrl.estimators.loops.overlap`.

    Raises:
        RuntimeError: if they are not of that step.
        NonFiniteError: if a weight is NaN or infinite.
    """
    found = int(scope.global_timestep.numpy())
    if found != timestep:
        raise RuntimeError(f"the variables are of environment step {found}, the counters of {timestep}")
    for variable in scope.variables:
        if variable.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(variable)).numpy()):
            raise NonFiniteError(f"{variable.name} is not finite")
    return int(scope.global_step.numpy())


def as_far_as_possible(loop: Loop, new_episodes: bool, required: bool) -> Callable[[Path], None]:
    """Writes what the environments keep, or leaves it out if they can no longer be asked.

    A `required` checkpoint also leaves out a replay memory in other processes that do not answer: else all would be lost.
    """

    def attempt(directory: Path) -> None:
        try:
            loop.write_environment(directory, new_episodes)
        except BrokenEnvironmentError as error:
            logger.warning("The checkpoint is written without what the environments keep: %s", str(error).splitlines()[0])
        except UnansweredError as error:
            if not required:
                raise
            logger.warning("The checkpoint is written without the replay memory: %s.", error)

    return attempt
