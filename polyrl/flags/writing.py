"""What is written, and how often."""

from __future__ import annotations

from absl import flags

flags.DEFINE_integer(
    "save_summary_timesteps",
    None,
    "Environment steps between TensorBoard writes; by default a two-hundredth of --train_timesteps, but from 500 to 10,000.",
    lower_bound=1,
)
flags.DEFINE_integer("save_checkpoints_timesteps", 10_000, "Environment steps between checkpoints.", lower_bound=1)
flags.DEFINE_float(
    "save_checkpoints_secs", None, "Seconds between checkpoints, in addition to those by steps.", lower_bound=0.0
)
flags.DEFINE_float(
    "max_overhead",
    0.01,
    "Largest share of the time that TensorBoard's histograms and images may take, and that checkpoints may take; beyond it "
    "they are put off, but for the first ten writes of histograms. Scalars never are. 1: no limit.",
    lower_bound=0.001,
    upper_bound=1.0,
)
flags.DEFINE_list(
    "profile_steps",
    None,
    "Gradient updates between which TensorFlow profiles, as 2000,2500; tensorboard-plugin-profile shows it.",
)
flags.DEFINE_integer("keep_checkpoint_max", 3, "Newest checkpoints that are kept, in addition to the best.", lower_bound=1)
flags.DEFINE_bool(
    "save_replay", True, "Write the replay memory into checkpoints. Without it a resumed run starts with an empty memory."
)
