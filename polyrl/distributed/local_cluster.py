"""`LocalCluster`: actors and shards in this process, which do what they are asked at once; to look into, and to measure."""

from __future__ import annotations

import collections
import time
from typing import Any

from polyrl.distributed.cluster import Asked, NotBegunError


class LocalCluster:
    """What `Cluster` does, without other processes: nothing dies, and a run with the same seed is the same run.

    Attributes:
        seconds: how long each of the calls of a method has taken, by its name.
    """

    DIED: tuple[type[BaseException], ...] = (NotBegunError,)

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = collections.defaultdict(list)
        self._objects: list[Any] = []
        self._waiting: list[tuple[Asked, Reference]] = []

    def start(self, kind: type, *arguments: Any) -> Any:
        self._objects.append(kind(*arguments))
        return _Process(self, self._objects[-1])

    def put(self, value: Any) -> Any:
        return Reference(value)

    def get(self, reference: Any) -> Any:
        return reference.result()

    def wait_for(self, reference: Any, seconds: float) -> bool:
        """What is asked for has been done by then."""
        return True

    def expect(self, reference: Any, asked: Asked) -> None:
        self._waiting.append((asked, reference))

    def waiting(self, name: str) -> list[Asked]:
        return [asked for asked, _ in self._waiting if asked.name == name]

    def ready(self, seconds: float) -> list[tuple[Asked, Any]]:
        """Everything that was asked for; it never waits."""
        waiting, self._waiting = self._waiting, []
        return [(asked, reference.value) for asked, reference in waiting]

    def close(self) -> None:
        for each in self._objects:
            if hasattr(each, "close"):
                each.close()
        self._objects.clear()


class Reference:
    """The result of a call, or the error that it raised."""

    def __init__(self, value: Any):
        self.value = value

    def result(self) -> Any:
        """The result; the error is raised."""
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


class _Process:
    """An object whose methods are called as those of a process of Ray: `process.method.remote(...)`."""

    def __init__(self, cluster: LocalCluster, target: Any):
        self._cluster, self._target = cluster, target

    def __getattr__(self, name: str) -> _Method:
        return _Method(self._cluster, self._target, name)


class _Method:
    def __init__(self, cluster: LocalCluster, target: Any, name: str, results: int = 1):
        self._cluster, self._target, self._name, self._results = cluster, target, name, results

    def options(self, num_returns: int) -> _Method:
        return _Method(self._cluster, self._target, self._name, num_returns)

    def remote(self, *arguments: Any) -> Any:
        given = [each.result() if isinstance(each, Reference) else each for each in arguments]
        started = time.perf_counter()
        try:
            result = getattr(self._target, self._name)(*given)
        except Exception as error:
            return Reference(error) if self._results == 1 else [Reference(error)] * self._results
        self._cluster.seconds[self._name].append(time.perf_counter() - started)
        return Reference(result) if self._results == 1 else [Reference(each) for each in result]
