"""The run itself."""

from __future__ import annotations

from absl import flags

from polyrl.flags import other_names
from polyrl.flags.choice import define_choice
from polyrl.flags.partners import needs

MODES = (
    "train",
    "eval",
    "infer",
    "record",
    "train_and_eval",
    "continuous_eval",
    "continuous_train_and_eval",
    "export",
    "serve",
    "list",
    "compare",
)
TRAINING_MODES = ("train", "train_and_eval", "continuous_train_and_eval")

define_choice(
    "mode",
    "train_and_eval",
    MODES,
    "What to do. train: train only. eval: evaluate a checkpoint. infer: act by the prediction-mode policy. record: write "
    "videos of greedy episodes. train_and_eval: train with evaluations, keep the best checkpoint, evaluate it. "
    "continuous_eval: evaluate each checkpoint that another process writes. continuous_train_and_eval: alternate training and "
    "whole evaluations. export: write a checkpoint for servers. serve: answer over HTTP as TensorFlow Serving does. list: "
    "show the names of models, presets, environments and parts. compare: a table of the runs below --runs.",
    elsewhere=other_names.MODES,
)
flags.DEFINE_string(
    "model_dir",
    None,
    "Directory of the run: checkpoints, summaries, parameters. A run that it holds is resumed. Default of the command polyrl: "
    "runs/<env>_<model>.",
)
flags.DEFINE_integer("seed", 1, "Integer from which all random streams derive.", lower_bound=0)
flags.DEFINE_bool("progress", True, "Show a progress bar, or a line every 10 seconds where there is no terminal.")
define_choice(
    "jit",
    "auto",
    ["auto", "on", "off"],
    "Compile with XLA. auto: only where a training run is long enough to gain by it.",
)
flags.DEFINE_integer(
    "threads",
    None,
    "Among how many cores TensorFlow divides each operation. By default all; with the command polyrl one for small "
    "networks of its own, of dense layers. One is faster for small networks of yours, too.",
    lower_bound=1,
)
define_choice(
    "strategy",
    "one",
    ["one", "mirrored", "multi_worker"],
    "Who computes an update, each for its share of the batch. mirrored: all GPUs of this process. multi_worker: the processes "
    "that the environment variable TF_CONFIG names; start each of them by the same command.",
)
define_choice(
    "env_backend",
    "gymnasium",
    ["gymnasium", "async", "compiled", "ale", "envpool"],
    "What steps the environments. gymnasium: this process, one after the other. async: a process for each. compiled: the "
    "training loop itself, in TensorFlow. ale: the threads of ale-py, for Atari games only. envpool: the threads of envpool. "
    "A run may be resumed with another backend.",
)
flags.DEFINE_float(
    "env_timeout",
    None,
    "With --env_backend=async: seconds that a step or a reset of the environments may take; a longer one ends the run.",
    lower_bound=0.001,
)
flags.DEFINE_integer(
    "env_restarts",
    0,
    "With --env_backend=async: how often an environment that fails in a step is made again; its episode is truncated.",
    lower_bound=0,
)
flags.DEFINE_bool(
    "overlap",
    False,
    "Step environments while the learner runs, one step later, on another core; pays if both take about as long.",
)
flags.DEFINE_bool(
    "check_env",
    True,
    "Before training, run gymnasium's check_env on a new instance of the environment; a failure is an error.",
)
flags.DEFINE_bool(
    "exact_resume",
    True,
    "Make a resumed run the run that was not interrupted, bit for bit: environments start new episodes at checkpoints.",
)
flags.DEFINE_bool(
    "overwrite",
    False,
    "Begin again in a --model_dir that holds a run: all of it is moved into replaced-<number> there. The command polyrl keeps "
    "the run's settings, but for what is given; with --env or --model it is another run.",
)
flags.DEFINE_bool("debug", False, "Show the traceback of an error, not only its message.")

needs("overwrite", mode=TRAINING_MODES, off=False)
needs("strategy", mode=TRAINING_MODES, off="one")
needs("check_env", env_backend=("gymnasium", "async"), off=True)
# Only a process of its own can be ended, and made again.
needs("env_timeout", env_backend="async")
needs("env_restarts", env_backend="async", off=0)
# Environments in the graph continue in mid-episode.
needs("exact_resume", env_backend=("gymnasium", "async", "ale", "envpool"), off=True)
# An environment in the graph steps with the learner, not while it runs.
needs("overlap", env_backend=("gymnasium", "async", "ale", "envpool"), off=False)
