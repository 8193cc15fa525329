"""`Worker`: the process of one environment, for `polyrl.envs.processes.ProcessVectorEnv`; and what runs in it."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing import connection
from types import TracebackType
from typing import Any, NamedTuple

import gymnasium
from gymnasium.vector.utils import CloudpickleWrapper, clear_mpi_env_vars, write_to_shared_memory

PARENT_DEATH_SIGNAL = 1
"""Linux's number of the option of `prctl`."""

_OURS = (__name__, "polyrl.envs.checked_env", "polyrl.envs.contract", "polyrl.envs.factory", "gymnasium.vector.utils.misc")
"""Modules whose calls lead to the environment's own."""


class Failure(NamedTuple):
    """Why an environment has no answer: what it did, its traceback, and the error if that is in polyrl's own words."""

    deed: str
    traceback: str
    error: Exception | None


class Worker:
    """The process of one environment, and the way to it.

    Attributes:
        waited_for: whether an answer that was requested has not arrived yet.
    """

    def __init__(self, context: Any, index: int, make: Callable[[], gymnasium.Env], shared: Any):
        self._pipe, theirs = context.Pipe()
        self._traces, writes = context.Pipe(duplex=False)
        # Linux tells a process of the end of a thread; only the main one's is the end of the owner.
        owner = os.getpid() if threading.current_thread() is threading.main_thread() else None
        forked = context.get_start_method() == "fork"
        arguments = (index, CloudpickleWrapper(make), theirs, self._pipe if forked else None, writes, shared, owner)
        self.process = context.Process(target=serve, name=f"environment {index}", args=arguments, daemon=True)
        with clear_mpi_env_vars():
            self.process.start()
        theirs.close()
        writes.close()
        self.waited_for = True  # For its spaces.
        self.ready = _poll(self._pipe)

    def ask(self, command: str, data: Any) -> None:
        """Sends a command. If the process has ended, `receive` reports it."""
        self.waited_for = True
        with contextlib.suppress(OSError):
            self._pipe.send((command, data))

    def receive(self) -> tuple[Any, Failure | None]:
        """The answer; an EOFError or OSError if the process ends before it."""
        answer = self._pipe.recv()
        self.waited_for = False
        return answer

    def trace(self) -> str:
        """What the process is doing, if it can say so."""
        if not hasattr(signal, "SIGUSR1") or not self.process.is_alive():
            return ""
        os.kill(self.process.pid, signal.SIGUSR1)
        text = b"".join(iter(lambda: os.read(self._traces.fileno(), 65_536) if self._traces.poll(0.2) else b"", b""))
        return text.decode(errors="replace")

    def hang_up(self) -> None:
        """Tells it to close; later answers are ignored."""
        with contextlib.suppress(OSError):
            self._pipe.send(None)  # That the pipe is closed may stay hidden: processes forked since then have it open.
        self._pipe.close()
        self._traces.close()

    def end(self, deadline: float) -> bool:
        """Waits for its end until a time of the monotonic clock, then kills it; returns whether it ended by itself."""
        self.process.join(max(deadline - time.monotonic(), 0.0))
        if self.process.exitcode is not None:
            return True
        self.process.terminate()
        self.process.join(1.0)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        return False


def serve(
    index: int,
    make: Callable[[], gymnasium.Env],
    pipe: connection.Connection,
    other_end: connection.Connection | None,
    traces: connection.Connection,
    shared: Any,
    owner: int | None,
) -> None:
    """Makes the environment, sends its spaces, and answers commands until it is told to close.

    An answer is a pair: the result, and a `Failure` or None. After a failure the process ends.

    Args:
        index: the environment's number among those that step together.
        make: makes it.
        pipe: commands come and answers go here.
        other_end: the owner's end of it, if this process was forked and has it too.
        traces: where to write what the process is doing, on SIGUSR1.
        shared: the memory for the observations of all environments.
        owner: PID of the owner if the system may end this process together with it; None: only a thread watches for that.
    """
    _belong(owner)
    _settle_signals(traces)
    if other_end is not None:
        other_end.close()  # Otherwise this process would not notice that the owner is gone.
    env = None
    try:
        env = make()
        space = env.observation_space
        _send(pipe, ((space, env.action_space), None))
        while (command := _receive(pipe)) is not None:
            _send(pipe, (_answer(env, command, space, index, shared), None))
    except _OwnerGoneError:
        pass
    except BaseException as error:
        with contextlib.suppress(_OwnerGoneError):
            _send(pipe, (None, failure_of(error)))
    finally:
        if env is not None:
            env.close()


def failure_of(error: BaseException) -> Failure:
    """What the owner is told about an error."""
    inner, last = _inside(error.__traceback__), _last(error.__traceback__)
    lines = traceback.format_exception(type(error), error, error.__traceback__ if inner is None else inner)
    if isinstance(error, SystemExit):
        status = 0 if error.code is None else error.code if isinstance(error.code, int) else 1
        return Failure(f"exited with status {status}", "".join(lines), None)
    worded = type(error) in (TypeError, ValueError) and last == "polyrl.envs.contract"
    deed = f"raised {type(error).__qualname__}: {error}"
    return Failure(deed, "".join(lines), type(error)(*error.args) if worded and isinstance(error, Exception) else None)


class _OwnerGoneError(Exception):
    """The owner has closed its end of the pipe, or has ended: answers cannot be sent."""


def _answer(env: gymnasium.Env, command: tuple[str, Any], space: Any, index: int, shared: Any) -> Any:
    name, data = command
    if name == "step":
        observation, reward, terminated, truncated, info = env.step(data)
        if terminated or truncated:
            final, final_info = observation, info
            observation, info = env.reset()
            info = {"final_obs": final, "final_info": final_info, **info}
        write_to_shared_memory(space, index, observation, shared)
        return reward, terminated, truncated, info
    if name == "reset":
        observation, info = env.reset(**data)
        write_to_shared_memory(space, index, observation, shared)
        return info
    attribute, *arguments = data
    if name == "set":
        return env.set_wrapper_attr(attribute, *arguments)
    value = env.get_wrapper_attr(attribute)
    args, kwargs = arguments
    return value(*args, **kwargs) if callable(value) else value


def _send(pipe: connection.Connection, answer: tuple[Any, Failure | None]) -> None:
    try:
        pipe.send(answer)
    except OSError as error:
        raise _OwnerGoneError from error


def _receive(pipe: connection.Connection) -> tuple[str, Any] | None:
    """The next command; None to close."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None


def _belong(owner: int | None) -> None:
    """Ends this process when its owner does, however that ends.

    A thread watches for the owner's end; code that never releases the interpreter blocks that thread. On Linux the system ends
    this process even then.
    """
    parent = os.getppid()
    if sys.platform == "linux" and owner == parent:
        ctypes.CDLL(None, use_errno=True).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # It ended before that.
            os._exit(1)
    process = multiprocessing.parent_process()

    def watch() -> None:
        while not connection.wait([] if process is None else [process.sentinel], timeout=1.0) and os.getppid() == parent:
            pass
        os._exit(1)

    threading.Thread(target=watch, name="owner", daemon=True).start()


def _settle_signals(traces: connection.Connection) -> None:
    """The owner decides what Ctrl-C and the end of the terminal mean; it must be able to end this process."""
    for name, action in (("SIGINT", signal.SIG_IGN), ("SIGHUP", signal.SIG_IGN), ("SIGTERM", signal.SIG_DFL)):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), action)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, file=traces.fileno(), all_threads=False)


def _inside(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of this process's own loop and checks."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OURS:
        trace = trace.tb_next
    return trace


def _last(trace: TracebackType | None) -> str:
    """The name of the module that raised."""
    name = ""
    while trace is not None:
        name, trace = trace.tb_frame.f_globals.get("__name__", ""), trace.tb_next
    return name


def _poll(pipe: connection.Connection) -> Callable[[float], bool]:
    """Waits up to a number of seconds for something to receive; quicker than the pipe's own `poll` where the system can."""
    if not hasattr(select, "poll"):
        return lambda seconds: pipe.poll(max(seconds, 0.0))
    poll = select.poll()
    poll.register(pipe.fileno(), select.POLLIN)
    return lambda seconds: bool(poll.poll(max(seconds, 0.0) * 1_000))
