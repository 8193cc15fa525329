"""The environment variable `TF_CONFIG`: by it a cluster tells each of its processes what it is, as tf.estimator had it."""

from __future__ import annotations

import collections
import json
import logging
import os
import re
from typing import Any, Final, NamedTuple

logger = logging.getLogger("polyrl")

VARIABLE: Final = "TF_CONFIG"
EVALUATOR: Final = "evaluator"
LEARNERS: Final = ("chief", "master", "worker")
"""Tasks that train; `master` is an older word for `chief`."""

TRAINING: Final = ("train", "train_and_evaluate", "continuous_train_and_eval")
"""The schedules of an `RLExperiment` that train."""

REMEDY = "unset TF_CONFIG for this process (env -u TF_CONFIG python ...)"


EXAMPLE = '{"cluster": {"worker": ["first:2222", "second:2222"]}, "task": {"type": "worker", "index": 0}}'


class Cluster(NamedTuple):
    """What the variable says: the addresses by kind of task; which of them this process is; a directory."""

    tasks: dict[str, list[str]]
    kind: str | None
    number: int
    model_dir: str | None

    @property
    def learners(self) -> list[tuple[str, int, str]]:
        """Kind, number and address of those that train, the chief first."""
        return [
            (kind, index, address)
            for kind in sorted(self.tasks, key=lambda kind: (kind == "worker", kind))
            for index, address in enumerate(self.tasks[kind])
            if kind != EVALUATOR
        ]


def cluster() -> Cluster | None:
    """What the variable says; None if nothing.

    Raises:
        ValueError: if it is not JSON of this form.
    """
    text = os.environ.get(VARIABLE, "")
    if not text.strip():
        return None
    try:
        content = json.loads(text)
        tasks = {str(kind): _addresses(found) for kind, found in content.get("cluster", {}).items()}
        task = content.get("task", {})
        number = task.get("index", 0)
        if isinstance(number, bool) or str(number).strip() != str(int(number)):
            raise ValueError(f"expected an integer as index, got {number!r}")
        return Cluster(tasks, task.get("type"), int(number), content.get("model_dir"))
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"TF_CONFIG={text!r} is set, but cannot be read as a cluster: {error}; {REMEDY}.") from error


def _addresses(found: Any) -> list[str]:
    if not isinstance(found, list):  # Of a string each letter would be an address.
        raise ValueError(f"expected a list of addresses for each kind of task, got {found!r}")
    return [str(each) for each in found]


def task(strategy: str = "one") -> str | None:
    """The kind of task that this process is: one of `LEARNERS`, `EVALUATOR`, or another word; None if nothing says so.

    Args:
        strategy: of the run's `RunConfig`.

    Raises:
        ValueError: if the variable says something that polyrl does not do: a cluster of several tasks that train, but with
            `'multi_worker'`; parameter servers, a directory; or if it is not JSON of this form.
    """
    found = cluster()
    if found is None:
        return None
    kinds = [kind for kind, _, _ in found.learners]
    if len(kinds) > 1 and (strategy != "multi_worker" or set(kinds) - set(LEARNERS)):
        listed = ", ".join(f"{number} {kind}" for kind, number in collections.Counter(kinds).items())
        remedy = (
            f"Only {' and '.join(LEARNERS)} train together"
            if strategy == "multi_worker"
            else "By itself each would train for itself, in one model_dir: RunConfig(strategy='multi_worker'), "
            "--strategy=multi_worker, has them learn together"
        )
        raise ValueError(
            f"TF_CONFIG describes a cluster of {len(kinds)} tasks ({listed}). {remedy}; or run one process, and {REMEDY}. An "
            f"{EVALUATOR} may run beside them; for environments in other processes see polyrl.distributed."
        )
    if found.model_dir:
        raise ValueError(f"TF_CONFIG has model_dir={found.model_dir!r}; give it to Agent(model_dir=...), and {REMEDY}.")
    if found.kind is not None and found.kind != EVALUATOR and found.kind not in LEARNERS:
        raise ValueError(
            f"TF_CONFIG says that this process is a task of type {found.kind!r}; there are {', '.join(LEARNERS)}, which "
            f"train, and {EVALUATOR}, which evaluates each checkpoint. Start it as one of them, or {REMEDY}."
        )
    return found.kind


def learners() -> tuple[int, list[str]]:
    """Which of the processes that learn together this one is, the chief being 0; and the addresses of all.

    Raises:
        ValueError: if the variable does not say so.
    """
    found = cluster()
    needed = f"strategy='multi_worker' takes the processes from the environment variable TF_CONFIG, as {EXAMPLE} for the first"
    if found is None:
        raise ValueError(f"{needed}; it is not set.")
    names = [(kind, index) for kind, index, _ in found.learners]
    if (found.kind, found.number) not in names:
        raise ValueError(f"{needed}; it says that this process is {found.kind} {found.number}, and the cluster has {names}.")
    addresses = [address for _, _, address in found.learners]
    for address in addresses:
        port = address.rpartition(":")[2]
        if not re.fullmatch(r"[^:\s/]+:\d+|\[[^\]\s]+\]:\d+", address) or not 0 < int(port) < 2**16:
            raise ValueError(f"{needed}; {address!r} is no address, as 'first:2222' is, with a port below 65536.")
        if addresses.count(address) > 1:
            raise ValueError(f"{needed}; {address!r} is the address of two of them.")
    return names.index((str(found.kind), found.number)), addresses


def schedule_of_task(schedule: str, strategy: str = "one") -> str:
    """The schedule that this process runs where all of a cluster are given the same one, with this strategy."""
    if schedule not in TRAINING:
        return schedule
    if task(strategy) == EVALUATOR:
        logger.info("TF_CONFIG: this process is the evaluator; it evaluates each checkpoint, in place of %s.", schedule)
        return "continuous_eval"
    # The chief evaluates for all.
    return "train" if strategy == "multi_worker" and learners()[0] > 0 else schedule


def check_trains(strategy: str = "one") -> None:
    """Refuses to train in a process that is the evaluator.

    Raises:
        ValueError: if it is, and for what `task` refuses.
    """
    if task(strategy) == EVALUATOR:
        raise ValueError(
            f"TF_CONFIG says that this process is the {EVALUATOR}, which trains nothing. The schedules of an RLExperiment, "
            f"and so the command polyrl, evaluate each checkpoint there; or {REMEDY}."
        )


def note(strategy: str = "one") -> None:
    """Logs what the variable means for an agent; for errors see `task`."""
    found = task(strategy)
    if found == EVALUATOR:
        logger.info("TF_CONFIG: this process is the evaluator.")
    elif strategy != "multi_worker" and cluster() is not None:
        logger.info("TF_CONFIG is set; it describes no other task, and has no effect here.")
