"""The flags that all experiment scripts share: their names, defaults, units and bounds; and which are hyper-parameters."""

from __future__ import annotations

from typing import Any

from absl import flags

FLAGS = flags.FLAGS

MODES = ("train", "eval", "infer", "train_and_eval", "continuous_eval", "continuous_train_and_eval")
TRAINING_MODES = ("train", "train_and_eval", "continuous_train_and_eval")

# The run. ---------------------------------------------------------------------------------------------------------------
flags.DEFINE_enum(
    "mode",
    "train_and_eval",
    MODES,
    "What to do. train: train only. eval: evaluate a checkpoint. infer: act by the prediction-mode policy. "
    "train_and_eval: train with evaluations, keep the best checkpoint, evaluate it. continuous_eval: evaluate each checkpoint "
    "that another process writes. continuous_train_and_eval: alternate training and whole evaluations.",
)
flags.DEFINE_string(
    "model_dir", None, "Directory of the run: checkpoints, summaries, parameters. A run that it holds is resumed."
)
flags.DEFINE_integer("seed", 1, "Integer from which all random streams derive.", lower_bound=0)
flags.DEFINE_bool("progress", True, "Show a progress bar, or a line every 10 seconds where there is no terminal.")
flags.DEFINE_enum(
    "jit",
    "auto",
    ["auto", "on", "off"],
    "Compile with XLA. auto: only where a training run is long enough to gain by it.",
)
flags.DEFINE_enum(
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
    "overlap", False, "Step the environments while the learner runs on another core; it then learns one step later."
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
    "overwrite", False, "Begin again in a --model_dir that holds a run: all of it is moved into replaced-<number> there."
)
flags.DEFINE_bool("debug", False, "Show the traceback of an error, not only its message.")

# Budgets. ---------------------------------------------------------------------------------------------------------------
flags.DEFINE_integer("train_timesteps", 100_000, "Budget in environment steps, in total over all calls.", lower_bound=1)
flags.DEFINE_integer("train_steps", None, "Budget in gradient updates, in total over all calls.", lower_bound=1)
flags.DEFINE_integer("train_episodes", None, "Budget in episodes, in total over all calls.", lower_bound=1)

# Evaluation and inference. ----------------------------------------------------------------------------------------------
flags.DEFINE_integer(
    "eval_episodes",
    100,
    "Episodes of an evaluation of a checkpoint: in --mode=eval, in the continuous modes, and at the end of train_and_eval.",
    lower_bound=1,
)
flags.DEFINE_integer("eval_frequency", 2_000, "Environment steps between evaluations while training.", lower_bound=1)
flags.DEFINE_integer(
    "eval_episodes_while_training", 20, "Episodes of each evaluation while training, in train_and_eval.", lower_bound=1
)
flags.DEFINE_float(
    "stop_at_reward", None, "Stop when an evaluation during training has at least this mean reward per episode."
)
flags.DEFINE_string(
    "checkpoint", None, "Checkpoint to evaluate or to act with: best, latest or a path. Default: best if there is one."
)
flags.DEFINE_integer("infer_episodes", 5, "Episodes that --mode=infer plays.", lower_bound=1)
flags.DEFINE_string(
    "output", None, "File to which --mode=infer writes one JSON line per environment step; of record_demos.py, the .npz file."
)
flags.DEFINE_float(
    "temperature",
    0.0,
    "Temperature of the policy of --mode=infer, in units of the action values: 0 is greedy, larger is more random.",
    lower_bound=0.0,
)

# Cadence. ---------------------------------------------------------------------------------------------------------------
flags.DEFINE_integer("save_summary_timesteps", 1_000, "Environment steps between TensorBoard writes.", lower_bound=1)
flags.DEFINE_integer("save_checkpoints_timesteps", 10_000, "Environment steps between checkpoints.", lower_bound=1)
flags.DEFINE_float(
    "save_checkpoints_secs", None, "Seconds between checkpoints, in addition to those by steps.", lower_bound=0.0
)
flags.DEFINE_float(
    "max_overhead",
    0.02,
    "Largest share of the time that TensorBoard writes may take, and checkpoints; beyond it they are put off. 1: no limit.",
    lower_bound=0.001,
    upper_bound=1.0,
)
flags.DEFINE_integer("keep_checkpoint_max", 3, "Newest checkpoints that are kept, in addition to the best.", lower_bound=1)
flags.DEFINE_bool(
    "save_replay", True, "Write the replay memory into checkpoints. Without it a resumed run starts with an empty memory."
)

# Hyper-parameters. ------------------------------------------------------------------------------------------------------
flags.DEFINE_integer("num_envs", 8, "Environments that run in parallel while training.", lower_bound=1)
flags.DEFINE_integer("first_update", 1_000, "Environment steps before the first update.", lower_bound=0)
flags.DEFINE_integer("update_frequency", 1, "Environment steps between gradient updates.", lower_bound=1)
flags.DEFINE_integer(
    "updates_at_once", 1, "Gradient updates at each multiple of --update_frequency environment steps.", lower_bound=1
)
flags.DEFINE_integer("memory_size", 50_000, "Capacity of the replay memory, in transitions.", lower_bound=1)
flags.DEFINE_integer("batch_size", 64, "Transitions in a batch.", lower_bound=1)
flags.DEFINE_integer(
    "n_step", 1, "Environment steps of a transition, whose rewards are summed before the bootstrap.", lower_bound=1
)
flags.DEFINE_bool("prioritized", False, "Sample transitions by priority instead of uniformly.")
flags.DEFINE_float(
    "priority_exponent", 0.6, "With --prioritized: alpha, the exponent of the priorities.", lower_bound=0.0, upper_bound=1.0
)
flags.DEFINE_float(
    "importance_exponent",
    0.4,
    "With --prioritized: beta, the exponent of the importance weights, at the first update; it grows to 1.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_integer(
    "importance_steps", 100_000, "With --prioritized: gradient updates over which beta grows to 1.", lower_bound=1
)
flags.DEFINE_float("learning_rate", 1e-3, "Learning rate of Adam, per gradient update.", lower_bound=0.0)
flags.DEFINE_float("discount", 0.99, "Gamma, the discount per environment step.", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_integer(
    "target_update_frequency", 200, "Gradient updates between two updates of the target network.", lower_bound=1
)
flags.DEFINE_float(
    "target_update_tau",
    1.0,
    "Step size of an update of the target network towards the online network; 1 copies it.",
    lower_bound=1e-6,
    upper_bound=1.0,
)
flags.DEFINE_float(
    "exploration_start", 1.0, "Epsilon, the probability of a random action, at the start.", lower_bound=0.0, upper_bound=1.0
)
flags.DEFINE_float("exploration_final", 0.05, "Epsilon at the end of its decay.", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_integer("exploration_timesteps", 10_000, "Environment steps over which epsilon decays.", lower_bound=1)
flags.DEFINE_enum(
    "dueling",
    "mean",
    ["mean", "max", "naive", "none"],
    "How advantage and value heads are combined to Q; none: one head of Q values.",
)
flags.DEFINE_float("clip_gradients", 10.0, "Largest global norm of the gradients; 0: no clipping.", lower_bound=0.0)
flags.DEFINE_float("clip_embed_gradients", 0.1, "Largest norm of each embedding's gradient; 0: no clipping.", lower_bound=0.0)

# Demonstrations. --------------------------------------------------------------------------------------------------------
flags.DEFINE_string(
    "demos",
    None,
    "Demonstrations to learn from with the large-margin loss: an .npz file, or the id of a Minari dataset on this machine.",
)
flags.DEFINE_integer(
    "pretrain_updates", 0, "With --demos: gradient updates on them before the first environment step.", lower_bound=0
)
flags.DEFINE_float(
    "demo_share",
    0.25,
    "With --demos: fraction of each batch that demonstrations make up; not with --prioritized, where priorities decide.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_float(
    "demo_priority",
    1.0,
    "With --demos and --prioritized: added to the priorities of demonstrations, in units of the TD error.",
    lower_bound=1e-6,
)
flags.DEFINE_float(
    "expert_margin",
    0.8,
    "With --demos: by how much the expert's action must be better than the others, in units of the action values.",
    lower_bound=0.0,
)
flags.DEFINE_float(
    "expert_weight", 1.0, "With --demos: weight of the large-margin loss relative to the TD loss.", lower_bound=0.0
)

HYPER_PARAMETERS = (
    "seed",
    "num_envs",
    "first_update",
    "update_frequency",
    "updates_at_once",
    "memory_size",
    "batch_size",
    "n_step",
    "prioritized",
    "priority_exponent",
    "importance_exponent",
    "importance_steps",
    "learning_rate",
    "discount",
    "target_update_frequency",
    "target_update_tau",
    "exploration_start",
    "exploration_final",
    "exploration_timesteps",
    "dueling",
    "clip_gradients",
    "clip_embed_gradients",
    "demos",
    "pretrain_updates",
    "demo_share",
    "demo_priority",
    "expert_margin",
    "expert_weight",
)


def set_defaults(**defaults: Any) -> None:
    """A script's own defaults for flags that are defined here."""
    for name, value in defaults.items():
        FLAGS.set_default(name, value)
