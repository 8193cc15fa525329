"""The tasks of time_to_result.py, for polyrl's worker and that of its peers. Needs the standard library only."""

from __future__ import annotations

import argparse
import dataclasses

EVERY, EPISODES = 2_500, 20
"""Environment steps between two evaluations, and their episodes; for all alike, in gymnasium's environment."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be reached.

    Attributes:
        preset: polyrl's.
        target: the mean return of an evaluation.
        budget: environment steps after which a run has failed.
    """

    preset: str
    target: float
    budget: int


TASKS = {
    "CartPole-v1": Task("cartpole_c51", 475.0, 50_000),
    "Acrobot-v1": Task("acrobot_dqn", -90.0, 100_000),
}


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that the workers have in common."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("env", choices=TASKS, help="the task")
    arguments.add_argument("--seed", type=int, default=1, help="of the run (default: %(default)s)")
    return arguments
