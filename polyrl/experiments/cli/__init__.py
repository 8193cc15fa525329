"""The command line of experiment programs: what is made of the flags of `polyrl.flags`.

A program imports this package, sets its own defaults with `set_defaults`, and starts with `run(main)`. With `needs` it
declares flags that have an effect only together with others. Hyper-parameters that are not given on the command line are taken
from the `model_dir`, if it has been trained: evaluation and inference need `--mode` and `--model_dir` only.

Here `parts` makes an experiment of the flags, and `program` runs it.
"""

from polyrl.experiments.cli.parts import environment, memory, model_arguments, read_hyper_parameters, rl_experiment, run_config
from polyrl.experiments.cli.program import run
from polyrl.flags import FLAGS, GIVEN, HYPER_PARAMETERS, MODES, TRAINING_MODES, needs, set_defaults, unused

__all__ = [
    "FLAGS",
    "GIVEN",
    "HYPER_PARAMETERS",
    "MODES",
    "TRAINING_MODES",
    "environment",
    "memory",
    "model_arguments",
    "needs",
    "read_hyper_parameters",
    "rl_experiment",
    "run",
    "run_config",
    "set_defaults",
    "unused",
]
