"""Videos."""

from __future__ import annotations

from absl import flags

from polyrl.flags.choice import define_choice
from polyrl.flags.partners import needs
from polyrl.flags.run import TRAINING_MODES

flags.DEFINE_integer("record_episodes", 1, "Episodes that --mode=record plays, a video of each.", lower_bound=1)
flags.DEFINE_integer(
    "record_frequency", None, "Environment steps between two videos while training; none without it.", lower_bound=1
)
define_choice(
    "record_format",
    "mp4",
    ["mp4", "gif"],
    "Format of the videos. mp4: each step, by moviepy. gif: smaller, at most 400 pictures 320 pixels wide, by pillow.",
)

needs("record_episodes", mode="record")
needs("record_format", mode=("record", *TRAINING_MODES))
