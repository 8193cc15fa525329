"""Remembering earlier states."""

from __future__ import annotations

from absl import flags

from polyrl.flags.choice import define_choice, defined_in
from polyrl.flags.model import DISCRETE
from polyrl.flags.partners import needs

CELLS = ("lstm", "gru")
NONE = "none"

define_choice(
    "recurrent",
    None,
    [NONE, *CELLS],
    "A layer that remembers earlier states ends the torso; the memory then samples sequences. lstm by default of r2d2.",
)
flags.DEFINE_integer("recurrent_units", 64, "With --recurrent: units of that layer.", lower_bound=1)
flags.DEFINE_integer("sequence_length", 16, "With --recurrent: steps of a sequence.", lower_bound=1)
flags.DEFINE_integer("burn_in", 0, "With --recurrent: first steps of a sequence that are not learned from.", lower_bound=0)

PARAMETERS = defined_in(__name__)
"""The flags here: all are hyper-parameters."""

needs("burn_in", model=DISCRETE)
