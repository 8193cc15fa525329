"""Evaluation and inference."""

from __future__ import annotations

from absl import flags

from polyrl.flags import run  # noqa: F401  It defines --mode.
from polyrl.flags.partners import needs

flags.DEFINE_integer(
    "eval_episodes",
    100,
    "Episodes of an evaluation of a checkpoint: in --mode=eval, in the continuous modes, and at the end of train_and_eval.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "eval_frequency",
    None,
    "Environment steps between evaluations while training. Default: a 25th of --train_timesteps, in 800 to 2,000.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "eval_episodes_while_training", 20, "Episodes of each evaluation while training, in train_and_eval.", lower_bound=1
)
flags.DEFINE_float(
    "stop_at_reward",
    None,
    "Stop when an evaluation during training has at least this mean reward per episode. Presets may have it; a value that "
    "cannot be reached, as 1e9, trains on.",
)
flags.DEFINE_string(
    "checkpoint",
    None,
    "Checkpoint to evaluate, to act with, to record, to export or to serve: best, latest or a path. Default: best if there is "
    "one.",
)
flags.DEFINE_integer("infer_episodes", 5, "Episodes that --mode=infer plays.", lower_bound=1)
flags.DEFINE_string(
    "output", None, "File to which --mode=infer writes one JSON line per environment step; of record_demos.py, the .npz file."
)
flags.DEFINE_float(
    "temperature",
    0.0,
    "Temperature of the policy of --mode=infer, and of the exported signature action, in units of the action values: 0 is "
    "greedy, larger is more random.",
    lower_bound=0.0,
)

flags.DEFINE_list("runs", ["runs"], "Directories whose runs --mode=compare shows, those of several seeds together.")

needs("runs", mode="compare")
needs("stop_at_reward", mode=("train_and_eval", "continuous_train_and_eval"))
needs("checkpoint", mode=("eval", "infer", "record", "train_and_eval", "export", "serve"))
needs("infer_episodes", "output", mode="infer")
needs("temperature", mode=("infer", "export", "serve"), off=0.0)
