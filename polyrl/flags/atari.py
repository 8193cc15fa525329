"""The game and its preprocessing."""

from __future__ import annotations

from absl import flags

from polyrl.flags.choice import defined_in
from polyrl.flags.positive import define_positive

flags.DEFINE_string("game", "Pong", "The game, named as in ALE/MsPacman-v5: MsPacman.")
flags.DEFINE_bool("clip_rewards", True, "Clip rewards to [-1, 1]; in training only, and not those that are reported.")
define_positive("adam_epsilon", 1.5e-4, "Epsilon of Adam, added to the root of the mean squared gradient.")

PARAMETERS = defined_in(__name__)
"""The flags here: all are hyper-parameters."""
