"""`Cluster`: a run's actors and shards as processes of Ray, and what has been asked of them."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from polyrl.envs.backends import import_package
from polyrl.estimators.signals import handlers_kept
from polyrl.estimators.threads import use_one_core
from polyrl.validation import shortened

logger = logging.getLogger("polyrl")

LOOPBACK = "127.0.0.1"

ONE_MACHINE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's environment variable that says, by 0, that there are no other machines. It is read when Ray is imported: without it
Ray listens on all interfaces, also where it is told the loopback address."""

AUTHENTICATION = "RAY_AUTH_MODE"
"""Ray's environment variable that says, by `token`, that a program shows the token of its file to a cluster at an address."""

NICENESS = "RAY_worker_niceness"
"""Ray's environment variable for how nice its processes are: with its own 15 they would hardly get a core that others want."""

KNOWN, NEW = "auto", "local"
"""What Ray takes for an address that is none: that of the cluster which it knows of, and a new one."""

ADDRESS = re.compile(r"(ray://)?(?P<host>[^\s:/]+|\[[^\s\]]+\]):(?P<port>[0-9]{1,5})")

REACHED_WITHIN = 10.0
"""Seconds within which the other side of a connection answers."""

STORE_BYTES = 512 << 20
"""Shared memory that blocks and batches on their way may take, in a cluster of the run's own."""


class Asked(NamedTuple):
    """A call that was made: of which process, in which of its lives, and what came with it.

    `what`: of a block that is collected its reference, of one that is stored its actor, of a chunk its turn.
    """

    name: str
    process: int
    life: int
    what: Any = None


class NotBegunError(RuntimeError):
    """A process was asked for something that has begun again since, and knows nothing of the run."""


class Cluster:
    """Processes of Ray. Each is started again if it dies; what was asked of it then fails with `DIED`, or, if that
    was only asked afterwards, with a `NotBegunError`.

    Args:
        ray: the module.
    """

    def __init__(self, ray: Any):
        self._ray = ray
        found = ray.exceptions
        died = found.RayActorError, found.ObjectLostError, found.WorkerCrashedError, found.OutOfMemoryError
        self.DIED = (*died, NotBegunError)
        self._processes: list[Any] = []
        self._waiting: dict[Any, Asked] = {}

    def start(self, kind: type, *arguments: Any, restarts: int = -1, computes: bool = True) -> Any:
        """A process with a `kind(*arguments)`, which methods can be asked of.

        Args:
            kind: a class.
            *arguments: of it.
            restarts: how often it is started again; -1: always.
            computes: whether it is to use TensorFlow, on one core then.

        Raises:
            TypeError: for arguments that cannot be sent to another process.
        """
        options = {"max_restarts": restarts, "max_task_retries": 0, "num_cpus": 1}
        remote = self._ray.remote(_on_one_core(kind) if computes else kind).options(**options)
        try:
            process = remote.remote(*arguments)
        except TypeError:
            self._check_sendable(arguments)
            raise
        self._processes.append(process)
        return process

    def _check_sendable(self, arguments: Sequence[Any]) -> None:
        """A TypeError that names what cannot be sent, of the arguments or the fields of one of them."""
        fields = {name: value for each in arguments if hasattr(each, "_asdict") for name, value in each._asdict().items()}
        for name, value in fields.items():
            try:
                self._ray.cloudpickle.dumps(value)
            except Exception as error:
                reason = str(error).strip().splitlines()[0]
                raise TypeError(
                    f"{name}={shortened(repr(value))} cannot be sent to other processes: {reason}. Make it of functions and "
                    "classes of modules, which open files, locks and environments where they are called."
                ) from error

    def put(self, value: Any) -> Any:
        """Makes a value available to the processes, once for all of them."""
        return self._ray.put(value)

    def get(self, reference: Any) -> Any:
        """What a call gave; waits for it."""
        return self._ray.get(reference)

    def wait_for(self, reference: Any, seconds: float) -> bool:
        """Whether a call has ended; waits for it up to some seconds."""
        return bool(self._ray.wait([reference], timeout=seconds)[0])

    def expect(self, reference: Any, asked: Asked) -> None:
        """Notes that a call was made, whose result `ready` will give."""
        self._waiting[reference] = asked

    def waiting(self, name: str) -> list[Asked]:
        """The calls of this name that have not been given yet."""
        return [asked for asked in self._waiting.values() if asked.name == name]

    def ready(self, seconds: float) -> list[tuple[Asked, Any]]:
        """The calls that have ended, each with its result, or its error; waits up to some seconds for the first of them."""
        if not self._waiting:
            time.sleep(seconds)
            return []
        references = list(self._waiting)
        first, _ = self._ray.wait(references, num_returns=1, timeout=seconds)
        if not first:
            return []
        done, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        ended = []
        for reference in done:
            asked = self._waiting.pop(reference)
            try:
                ended.append((asked, self._ray.get(reference)))
            except Exception as error:  # Of the process, or of its death.
                ended.append((asked, error))
        return ended

    def end(self, process: Any) -> None:
        """Ends a process, whose core is free then."""
        self._processes.remove(process)
        self._ray.kill(process)

    def close(self) -> None:
        """Ends the processes."""
        self._waiting.clear()
        for process in self._processes:
            self._ray.kill(process)
        self._processes.clear()


def _on_one_core(kind: type) -> type:
    """The class in a process of its own, which shares the cores with others."""

    class OnOneCore(kind):
        def __init__(self, *arguments: Any):
            use_one_core()
            super().__init__(*arguments)

    OnOneCore.__name__ = OnOneCore.__qualname__ = kind.__name__
    return OnOneCore


@contextlib.contextmanager
def connected(address: str | None, processes: int) -> Iterator[Cluster]:
    """A cluster of Ray: that at an address, or one of its own on this machine, which ends with the `with` block.

    One of its own listens on the loopback interface alone.

    Args:
        address: as `ray.init` takes it; None: one of its own, or that which this program is connected to already.
        processes: how many there will be.

    Raises:
        ValueError: if it is no address, or nothing listens there.
        ConnectionError: if Ray does not answer there as it should, or asks for a token.
        RuntimeError: if Ray was imported in such a way that a cluster of its own would listen on all interfaces.
    """
    address, known = None if address == NEW else address, sys.modules.get("ray")
    if address is not None:
        _check_reachable(address)
    elif known is None:
        os.environ.setdefault(ONE_MACHINE, "0")
    elif not known.is_initialized() and os.environ.get(ONE_MACHINE) != "0":
        raise RuntimeError(
            "Ray was imported before, by this program or for a cluster at an address: one of this run's own would listen on "
            f"all network interfaces. Leave that out, set the environment variable {ONE_MACHINE}=0 before it, or start Ray as "
            "you want it by ray.init."
        )
    ray = import_package("ray", "RemoteActors", "ray", "an environment in this process")
    begun = not ray.is_initialized()
    if begun:
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        if address is None:
            os.environ.setdefault(NICENESS, "0")
            with _own_path(), handlers_kept():
                ray.init(
                    address=NEW,  # Otherwise Ray would go by its own environment variable.
                    num_cpus=processes,
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    _node_ip_address=LOOPBACK,
                    **quiet,
                )
        else:
            with _explained(address), handlers_kept():
                ray.init(address=address, **quiet)
    cluster = Cluster(ray)
    try:
        yield cluster
    finally:
        cluster.close()
        if begun:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """A ValueError unless something listens at the address: Ray would try again for minutes."""
    if address == KNOWN:
        return
    given, otherwise = f"ray_address={address!r}", "leave it out for a cluster of this run's own."
    found = ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found["port"]) < 65_536:
        raise ValueError(
            f"{given} is no address; expected 'host:port', as 'ray start --head' shows it, 'ray://host:port', or "
            f"{KNOWN!r}; or {otherwise}"
        )
    try:
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), REACHED_WITHIN).close()
    except (OSError, UnicodeError) as error:  # The latter for parts of a name that no name has.
        raise ValueError(
            f"{given}: nothing answers there ({error}). Start Ray there with 'ray start --head', or {otherwise}"
        ) from error


@contextlib.contextmanager
def _explained(address: str) -> Iterator[None]:
    """Says what may be wrong if Ray takes long within it, as of an old cluster that has died, or gives up.

    Raises:
        ConnectionError: if Ray gives up; it says what may be missing.
    """
    text = (
        "Ray has not answered at ray_address=%r for %g seconds. If nothing runs there, interrupt this and start Ray there. A "
        "cluster that listens on the loopback interface alone is reached with the environment variable %s=0."
    )
    waiting = threading.Timer(REACHED_WITHIN, logger.warning, (text, address, REACHED_WITHIN, ONE_MACHINE))
    waiting.daemon = True
    waiting.start()
    try:
        yield
    except ConnectionError as error:
        raise ConnectionError(
            f"Ray could not connect to ray_address={address!r} ({error}). Set the environment variable {AUTHENTICATION}=token "
            "if the cluster asks for a token, as Ray's clusters do that were started where ~/.ray/auth_token was; this "
            f"program needs the same token there. ray_address={KNOWN!r} takes this machine's own cluster, with its token."
        ) from error
    finally:
        waiting.cancel()


@contextlib.contextmanager
def _own_path() -> Iterator[None]:
    """Processes that are started within it find the modules that this one finds, as those beside its program."""
    name, before = "PYTHONPATH", os.environ.get("PYTHONPATH")
    os.environ[name] = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
