"""The environment variable `TF_CONFIG`: by it a cluster tells each of its processes what it is, as tf.estimator had it."""

from __future__ import annotations

import json
import logging
import os
from typing import Final

logger = logging.getLogger("polyrl")

VARIABLE: Final = "TF_CONFIG"
EVALUATOR: Final = "evaluator"
LEARNERS: Final = ("chief", "master", "worker")
"""Tasks that train; `master` is an older word for `chief`."""

TRAINING: Final = ("train", "train_and_evaluate", "continuous_train_and_eval")
"""The schedules of an `RLExperiment` that train."""

REMEDY = "unset TF_CONFIG for this process (env -u TF_CONFIG python ...)"


def task() -> str | None:
    """The kind of task that this process is: one of `LEARNERS`, `EVALUATOR`, or another word; None if nothing says so.

    Raises:
        ValueError: if the variable says something that polyrl does not do: a cluster of several tasks that train, parameter
            servers, a directory; or if it is not JSON of this form.
    """
    text = os.environ.get(VARIABLE, "")
    if not text.strip():
        return None
    try:
        content = json.loads(text)
        tasks = {kind: list(addresses) for kind, addresses in content.get("cluster", {}).items()}
        found = content.get("task", {}).get("type")
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"TF_CONFIG={text!r} is set, but cannot be read as a cluster: {error}; {REMEDY}.") from error
    others = {kind: len(addresses) for kind, addresses in tasks.items() if kind != EVALUATOR}
    count = sum(others.values())
    if count > 1:
        listed = ", ".join(f"{number} {kind}" for kind, number in others.items())
        raise ValueError(
            f"TF_CONFIG describes a cluster of {count} tasks ({listed}), but a run has one process that learns: each would "
            f"train for itself, in one model_dir. Run one process, and {REMEDY}. An {EVALUATOR} may run beside it; for "
            "environments in other processes see polyrl.distributed."
        )
    if content.get("model_dir"):
        raise ValueError(f"TF_CONFIG has model_dir={content['model_dir']!r}; give it to Agent(model_dir=...), and {REMEDY}.")
    if found is not None and found != EVALUATOR and found not in LEARNERS:
        raise ValueError(
            f"TF_CONFIG says that this process is a task of type {found!r}; there are {', '.join(LEARNERS)}, which train, and "
            f"{EVALUATOR}, which evaluates each checkpoint. Start it as one of them, or {REMEDY}."
        )
    return found


def schedule_of_task(schedule: str) -> str:
    """The schedule that this process runs where all of a cluster are given the same one."""
    if schedule not in TRAINING or task() != EVALUATOR:
        return schedule
    logger.info("TF_CONFIG: this process is the evaluator; it evaluates each checkpoint, in place of %s.", schedule)
    return "continuous_eval"


def check_trains() -> None:
    """Refuses to train in a process that is the evaluator.

    Raises:
        ValueError: if it is, and for what `task` refuses.
    """
    if task() == EVALUATOR:
        raise ValueError(
            f"TF_CONFIG says that this process is the {EVALUATOR}, which trains nothing. The schedules of an RLExperiment, "
            f"and so the command polyrl, evaluate each checkpoint there; or {REMEDY}."
        )


def note() -> None:
    """Logs what the variable means for an agent; for errors see `task`."""
    found = task()
    if found == EVALUATOR:
        logger.info("TF_CONFIG: this process is the evaluator.")
    elif os.environ.get(VARIABLE, "").strip():
        logger.info("TF_CONFIG is set; it describes no other task, and has no effect here.")
