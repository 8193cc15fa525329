"""Atari games."""

from __future__ import annotations

from absl import flags

from polyrl.flags.choice import defined_in

flags.DEFINE_integer("frame_skip", 4, "Atari: frames of an environment step.", lower_bound=1)
flags.DEFINE_float(
    "sticky_actions",
    0.25,
    "Atari: probability that a frame repeats the action before it.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_integer("noop_max", 30, "Atari: largest number of frames without an action at a game's start.", lower_bound=0)
flags.DEFINE_bool("terminal_on_life_loss", False, "Atari: end an episode when a life is lost; in training only.")
flags.DEFINE_bool("full_action_space", False, "Atari: use all 18 actions instead of those that have an effect in the game.")
flags.DEFINE_integer(
    "max_episode_frames", 108_000, "Atari: frames after which a game is truncated; 60 are a second.", lower_bound=1
)

PARAMETERS = defined_in(__name__)
"""The flags here: all are hyper-parameters."""
