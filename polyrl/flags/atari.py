"""The game and its preprocessing."""

from __future__ import annotations

from absl import flags

from polyrl.flags.choice import defined_in

flags.DEFINE_string("game", "Pong", "The game, named as in ALE/MsPacman-v5: MsPacman.")
flags.DEFINE_bool("clip_rewards", True, "Clip rewards to [-1, 1]; in training only, and not those that are reported.")
flags.DEFINE_float("adam_epsilon", 1.5e-4, "Adam's epsilon.", lower_bound=0.0)

PARAMETERS = defined_in(__name__)
"""The flags here: all are hyper-parameters."""
