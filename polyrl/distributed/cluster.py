"""`Cluster`: a run's actors and shards as processes of Ray, and what has been asked of them."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from polyrl.envs.backends import import_package
from polyrl.estimators.threads import use_one_core

logger = logging.getLogger("polyrl")

LOOPBACK = "127.0.0.1"

ONE_MACHINE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's environment variable that says, by 0, that there are no other machines."""

NICENESS = "RAY_worker_niceness"
"""Ray's environment variable for how nice its processes are: with its own 15 they would hardly get a core that others want."""

STORE_BYTES = 512 << 20
"""Shared memory that blocks and batches on their way may take, in a cluster of the run's own."""


class Asked(NamedTuple):
    """A call that was made: of which process, in which of its lives, and what came with it."""

    name: str
    process: int
    life: int
    what: Any = None


class Cluster:
    """Processes of Ray. Each is started again if it dies; what was asked of it then fails with `DIED`.

    Args:
        ray: the module.
    """

    def __init__(self, ray: Any):
        self._ray = ray
        self.DIED = (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError, ray.exceptions.WorkerCrashedError)
        self._processes: list[Any] = []
        self._waiting: dict[Any, Asked] = {}

    def start(self, kind: type, *arguments: Any, restarts: int = -1, computes: bool = True) -> Any:
        """A process with a `kind(*arguments)`, which methods can be asked of.

        Args:
            kind: a class.
            *arguments: of it.
            restarts: how often it is started again; -1: always.
            computes: whether it is to use TensorFlow, on one core then.
        """
        options = {"max_restarts": restarts, "max_task_retries": 0, "num_cpus": 1}
        process = self._ray.remote(_on_one_core(kind) if computes else kind).options(**options).remote(*arguments)
        self._processes.append(process)
        return process

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
    """
    if address is None:
        # Read when Ray is imported: without it, Ray listens on all interfaces, also where it is told the loopback address.
        os.environ.setdefault(ONE_MACHINE, "0")
        os.environ.setdefault(NICENESS, "0")
    ray = import_package("ray", "RemoteActors", "ray", "an environment in this process")
    begun = not ray.is_initialized()
    if begun:
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        if address is None:
            with _own_path():
                ray.init(
                    num_cpus=processes,
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    _node_ip_address=LOOPBACK,
                    **quiet,
                )
        else:
            ray.init(address=address, **quiet)
    cluster = Cluster(ray)
    try:
        yield cluster
    finally:
        cluster.close()
        if begun:
            ray.shutdown()


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
