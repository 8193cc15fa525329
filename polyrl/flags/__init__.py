"""What can be given on a command line: names, defaults, units and bounds; without TensorFlow, so that `--help` is quick.

`import polyrl.flags` defines the flags that all programs share. The modules `environment`, `games`, `torso`, `model`, `memory`
and `config` define those of the command `polyrl`, and `atari` those of the Atari scripts, for programs that import them.
Each module is a group of `--help`, and its first line the title. What is made of the flags is in `polyrl.experiments.cli`.
"""

from typing import Any

from absl.flags import FLAGS

from polyrl.flags import budget, demonstrations, evaluation, learning, run, seeds, serving, video, warm_start, writing
from polyrl.flags.partners import GIVEN, check_given, needs, unused
from polyrl.flags.run import MODES, TRAINING_MODES
from polyrl.validation import suggestion

HYPER_PARAMETERS = ("seed", *learning.PARAMETERS, *demonstrations.PARAMETERS)
"""The shared flags whose other value would be another run."""

SHARED = (run, seeds, warm_start, budget, evaluation, video, serving, writing, learning, demonstrations)
"""The modules of the shared flags."""


def set_defaults(**defaults: Any) -> None:
    """A program's own defaults for flags that are defined here, or by the program before.

    Raises:
        ValueError: for a name that is no flag; with the nearest one.
    """
    for name, value in defaults.items():
        if name not in FLAGS:
            raise ValueError(
                f"set_defaults({name}=...): there is no flag --{name} in this program.{suggestion(name, [*FLAGS])} What "
                "belongs to a model is an argument in model_fn, or a flag that the program defines."
            )
        FLAGS.set_default(name, value)


__all__ = [
    "FLAGS",
    "GIVEN",
    "HYPER_PARAMETERS",
    "MODES",
    "SHARED",
    "TRAINING_MODES",
    "check_given",
    "needs",
    "set_defaults",
    "unused",
]
