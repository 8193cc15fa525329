"""Any model on any environment: `python experiments/train.py --preset=cartpole_c51 --seed=1`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polyrl import run_experiment
from polyrl.experiments import cli, family

cli.set_defaults(model_dir="runs/train")


def main(argv: Sequence[str]) -> Any:
    """Runs the schedule that --mode names."""
    return run_experiment(family.experiment_fn, cli.FLAGS.model_dir, cli.FLAGS.mode)


if __name__ == "__main__":
    cli.run(main)
