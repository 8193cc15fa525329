"""The command line that all experiment scripts share: the flags, once, and what is made of them.

A script imports this package, sets its own defaults with `set_defaults`, and starts with `run(main)`. With `needs` it declares
flags that have an effect only together with others. Hyper-parameters that are not given on the command line are taken from the
`model_dir`, if it has been trained: evaluation and inference need `--mode` and `--model_dir` only.

Here `flags` defines the flags, `partners` refuses those that have no effect, `parts` makes an experiment of them, and
`program` runs it.
"""

from polyrl.experiments.cli.flags import FLAGS, HYPER_PARAMETERS, MODES, TRAINING_MODES, set_defaults
from polyrl.experiments.cli.partners import GIVEN, needs, unused
from polyrl.experiments.cli.parts import environment, memory, model_arguments, read_hyper_parameters, rl_experiment, run_config
from polyrl.experiments.cli.program import run

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
