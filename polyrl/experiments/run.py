"""`run_experiment`: the entry from a script."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from polyrl.experiments.rl_experiment import RLExperiment
from polyrl.validation import suggestion

ALIASES = {
    "eval": "evaluate",
    "train_and_eval": "train_and_evaluate",
    "continuous_train_and_evaluate": "continuous_train_and_eval",
}


def run_experiment(
    experiment_fn: Callable[[str], RLExperiment],
    output_dir: str | os.PathLike[str],
    schedule: str = "train_and_evaluate",
) -> Any:
    """Builds the experiment for `output_dir` and runs the schedule of that name.

    Args:
        experiment_fn: `experiment_fn(output_dir)` returns the `RLExperiment`.
        output_dir: the run's `model_dir`.
        schedule: one of `RLExperiment.SCHEDULES`, or a name in `ALIASES`.

    Returns:
        What the schedule returns.

    Raises:
        ValueError: for an unknown schedule, before anything is built.
        TypeError: if `experiment_fn` returns something else.
    """
    name = ALIASES.get(schedule, schedule)
    if name not in RLExperiment.SCHEDULES:
        known = [*RLExperiment.SCHEDULES, *ALIASES]
        raise ValueError(f"schedule={schedule!r} is unknown; use one of {known}.{suggestion(str(schedule), known)}")
    experiment = experiment_fn(os.fspath(output_dir))
    if not isinstance(experiment, RLExperiment):
        raise TypeError(f"experiment_fn must return an RLExperiment, given: {experiment!r}.")
    return getattr(experiment, name)()
