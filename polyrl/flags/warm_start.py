"""Warm start."""

from __future__ import annotations

from absl import flags

from polyrl.flags.partners import GIVEN, needs
from polyrl.flags.run import TRAINING_MODES

flags.DEFINE_string(
    "warm_start_from",
    None,
    "A new run begins with the weights of another one: its directory (the best checkpoint, else the newest), or a checkpoint. "
    "A run that is resumed goes on with its own.",
)
flags.DEFINE_list(
    "warm_start_vars",
    None,
    "With --warm_start_from: only weights whose name matches one of these regular expressions from its beginning, as "
    "Model/dense,Model/value; all by default. The line of a warm start lists the names.",
)

needs("warm_start_from", mode=TRAINING_MODES)
needs("warm_start_vars", warm_start_from=GIVEN)
