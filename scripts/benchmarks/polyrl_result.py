"""Trains a preset of polyrl until an evaluation reaches the task's target: `python polyrl_result.py CartPole-v1 --seed=1`.

Prints the seconds since the process was started, evaluations included; infinity if the budget ends before.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import math
import sys
from typing import Any

import results
from stopwatch import report_and_exit, seconds_since_start

PACKAGES = ("tensorflow", "tf-keras", "gymnasium", "numpy")


def main() -> None:
    """Measures once and prints the result."""
    arguments = results.parser(__doc__).parse_args()
    task = results.TASKS[arguments.env]
    import polyrl  # noqa: F401  Before TensorFlow; and --help does without.
    from polyrl.estimators.hooks import EvaluationHook, Hook
    from polyrl.experiments import cli, family
    from polyrl.flags import command

    class Reached(Hook):
        """Reports when an evaluation is at the target."""

        def after_act(self, run: Any) -> None:
            last = run.last_evaluation
            if last is not None and last["mean_reward"] >= task.target:
                report_and_exit(*PACKAGES, value=seconds_since_start(), steps=int(last["global_timestep"]))

    flags = [f"--config={task.preset}", f"--seed={arguments.seed}", f"--train_timesteps={task.budget}", "--progress=false"]
    cli.FLAGS([sys.argv[0], *flags])
    command.settle()
    experiment = family.experiment_fn("run")
    hook = EvaluationHook(experiment.eval_env, results.EVERY, results.EPISODES)
    experiment.agent.train(experiment.env, hooks=[hook, Reached()], **experiment.training)
    report_and_exit(*PACKAGES, value=math.inf, steps=task.budget)


if __name__ == "__main__":
    main()
