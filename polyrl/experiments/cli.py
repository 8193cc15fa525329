"""The command line that all experiment scripts share: the flags, once, and what is made of them.

A script imports this module, sets its own defaults with `set_defaults`, and starts with `run(main)`. Hyper-parameters that
are not given on the command line are taken from the `model_dir`, if it has been trained: evaluation and inference need
`--mode` and `--model_dir` only.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags
from absl import logging as absl_logging
from rich.console import Console
from rich.logging import RichHandler

from polyrl.configs import AdamConfig, DecayExplorationConfig, ExplorationConfig, OptimizerConfig
from polyrl.demos import load
from polyrl.envs import EnvpoolEnvironment, GymEnvironment
from polyrl.envs.gym import EnvLike
from polyrl.errors import NonFiniteError
from polyrl.estimators import Agent, RunConfig, TrainingResult
from polyrl.estimators.params import check_same_params, read_params
from polyrl.experiments.rl_experiment import RLExperiment
from polyrl.replay import PrioritizedReplay, Replay, UniformReplay

FLAGS = flags.FLAGS

TRAINING_MODES = ("train", "train_and_eval", "continuous_train_and_eval")

logger = logging.getLogger("polyrl")

# The run. ---------------------------------------------------------------------------------------------------------------
flags.DEFINE_enum(
    "mode",
    "train_and_eval",
    ["train", "eval", "infer", "train_and_eval", "continuous_eval", "continuous_train_and_eval"],
    "What to do. train: train only. eval: evaluate a checkpoint. infer: act by the prediction-mode policy. "
    "train_and_eval: train with evaluations, keep the best, evaluate it. continuous_eval: evaluate the checkpoints another "
    "process writes. continuous_train_and_eval: alternate training and whole evaluations.",
)
flags.DEFINE_string("model_dir", None, "Directory of the run: checkpoints, summaries, parameters. It is resumed if it exists.")
flags.DEFINE_integer("seed", 1, "An integer, the root of all random streams.", lower_bound=0)
flags.DEFINE_bool("progress", True, "Show a progress bar, or a line every 10 seconds where there is no terminal.")
flags.DEFINE_enum(
    "jit",
    "auto",
    ["auto", "on", "off"],
    "Compile with XLA; auto leaves it out where a training run is too short to gain by it.",
)
flags.DEFINE_enum(
    "env_backend",
    "gymnasium",
    ["gymnasium", "async", "compiled", "ale", "envpool"],
    "Who runs the environments. gymnasium: this process, one after the other. async: a process for each. compiled: the "
    "training loop itself, in TensorFlow. ale: the threads of ale-py, for Atari games only. envpool: the threads of envpool. "
    "A run may be resumed with another one.",
)
flags.DEFINE_bool("overlap", False, "Step the environments while the learner runs on another core; it learns one step later.")
flags.DEFINE_bool("debug", False, "Show the traceback of an error, not its message alone.")

# Budgets. ---------------------------------------------------------------------------------------------------------------
flags.DEFINE_integer("train_timesteps", 100_000, "Budget in environment steps, in all.", lower_bound=1)
flags.DEFINE_integer("train_steps", None, "Budget in gradient updates, in all.", lower_bound=1)
flags.DEFINE_integer("train_episodes", None, "Budget in episodes, in all.", lower_bound=1)

# Evaluation and inference. ----------------------------------------------------------------------------------------------
flags.DEFINE_integer("eval_episodes", 100, "Episodes of an evaluation by --mode=eval, and of the last one.", lower_bound=1)
flags.DEFINE_integer("eval_frequency", 2_000, "Environment steps between evaluations while training.", lower_bound=1)
flags.DEFINE_integer("eval_episodes_while_training", 20, "Episodes of an evaluation while training.", lower_bound=1)
flags.DEFINE_float("stop_at_reward", None, "Stop when an evaluation while training has at least this mean reward per episode.")
flags.DEFINE_string("checkpoint", None, "What eval and infer read: best, latest or a path. Default: best if there is one.")
flags.DEFINE_integer("infer_episodes", 5, "Episodes that --mode=infer plays.", lower_bound=1)
flags.DEFINE_string(
    "output", None, "File to which --mode=infer writes one JSON line per environment step; of record_demos.py, the .npz file."
)
flags.DEFINE_float(
    "temperature",
    0.0,
    "Of the policy of --mode=infer, in units of the action values: 0 is greedy, more is more random.",
    lower_bound=0.0,
)

# Cadence. ---------------------------------------------------------------------------------------------------------------
flags.DEFINE_integer("save_summary_timesteps", 1_000, "Environment steps between TensorBoard writes.", lower_bound=1)
flags.DEFINE_integer("save_checkpoints_timesteps", 10_000, "Environment steps between checkpoints.", lower_bound=1)
flags.DEFINE_float("save_checkpoints_secs", None, "Seconds between checkpoints, besides those by steps.", lower_bound=0.0)
flags.DEFINE_float(
    "max_overhead",
    0.02,
    "Share of the time that TensorBoard writes may take, and checkpoints; those beyond are put off. 1: none is.",
    lower_bound=0.001,
    upper_bound=1.0,
)
flags.DEFINE_integer("keep_checkpoint_max", 3, "Newest checkpoints that are kept, besides the best.", lower_bound=1)

# Hyper-parameters. ------------------------------------------------------------------------------------------------------
flags.DEFINE_integer("num_envs", 8, "Environments that run in parallel while training.", lower_bound=1)
flags.DEFINE_integer("first_update", 1_000, "Environment steps before the first update.", lower_bound=0)
flags.DEFINE_integer("update_frequency", 1, "Environment steps for each gradient update.", lower_bound=1)
flags.DEFINE_integer("memory_size", 50_000, "Capacity of the replay memory, in transitions.", lower_bound=1)
flags.DEFINE_integer("batch_size", 64, "Transitions in a batch.", lower_bound=1)
flags.DEFINE_integer("n_step", 1, "Environment steps of a transition: rewards summed before the bootstrap.", lower_bound=1)
flags.DEFINE_bool("prioritized", False, "Sample transitions by priority, not uniformly.")
flags.DEFINE_float("priority_exponent", 0.6, "Alpha: how much priorities count.", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_float("importance_exponent", 0.4, "Beta at the first update; it grows to 1.", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_integer("importance_steps", 100_000, "Gradient updates over which beta grows to 1.", lower_bound=1)
flags.DEFINE_float("learning_rate", 1e-3, "Learning rate of Adam, per gradient update.", lower_bound=0.0)
flags.DEFINE_float("discount", 0.99, "Gamma, the discount per environment step.", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_integer("target_update_frequency", 200, "Gradient updates between target network copies.", lower_bound=1)
flags.DEFINE_float(
    "target_update_tau",
    1.0,
    "How far the target network goes to the online one at each copy; 1: all the way.",
    lower_bound=1e-6,
    upper_bound=1.0,
)
flags.DEFINE_float(
    "exploration_start", 1.0, "Epsilon, the probability of a random action, at the start.", lower_bound=0.0, upper_bound=1.0
)
flags.DEFINE_float("exploration_final", 0.05, "Epsilon at the end of its decay.", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_integer("exploration_timesteps", 10_000, "Environment steps over which epsilon decays.", lower_bound=1)
flags.DEFINE_enum("dueling", "mean", ["mean", "max", "naive", "none"], "How advantage and value heads make Q.")
flags.DEFINE_float("clip_gradients", 10.0, "Largest global norm of the gradients; 0 does not clip.", lower_bound=0.0)
flags.DEFINE_float("clip_embed_gradients", 0.1, "Largest norm of each embedding's gradient; 0 does not clip.", lower_bound=0.0)

# Demonstrations. --------------------------------------------------------------------------------------------------------
flags.DEFINE_string(
    "demos",
    None,
    "Demonstrations to learn from with the large-margin loss: an .npz file, or the id of a Minari dataset on this machine.",
)
flags.DEFINE_integer(
    "pretrain_updates", 0, "Gradient updates on the demonstrations before the first environment step.", lower_bound=0
)
flags.DEFINE_float(
    "demo_share",
    0.25,
    "Part of each batch that demonstrations make up; with --prioritized their priorities decide that.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_float(
    "demo_priority",
    1.0,
    "With --prioritized: added to the priorities of demonstrations, in units of the TD error.",
    lower_bound=1e-6,
)
flags.DEFINE_float(
    "expert_margin",
    0.8,
    "By how much the expert's action has to be better than the others, in units of the action values.",
    lower_bound=0.0,
)
flags.DEFINE_float("expert_weight", 1.0, "Weight of the large-margin loss beside the TD loss.", lower_bound=0.0)

HYPER_PARAMETERS = (
    "seed",
    "num_envs",
    "first_update",
    "update_frequency",
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


def read_hyper_parameters(model_dir: str | os.PathLike[str], *extra: str) -> dict[str, Any]:
    """The hyper-parameters by flag name: as given, else as in a trained `model_dir`, else the defaults.

    Args:
        model_dir: the run's directory.
        extra: names of the script's own flags that are hyper-parameters too.

    Raises:
        CheckpointMismatchError: if one is given that differs from what `model_dir` was trained with; it shows both.
    """
    saved = read_params(Path(model_dir)) or {}
    values = {name: FLAGS[name].value for name in (*HYPER_PARAMETERS, *extra)}
    values |= {name: saved[name] for name in values if name in saved and not FLAGS[name].present}
    check_same_params(Path(model_dir), values)
    return values


def run_config(params: dict[str, Any]) -> RunConfig:
    """The `RunConfig` that the flags describe."""
    return RunConfig(
        seed=params["seed"],
        save_summary_timesteps=FLAGS.save_summary_timesteps,
        save_checkpoints_timesteps=FLAGS.save_checkpoints_timesteps,
        save_checkpoints_secs=FLAGS.save_checkpoints_secs,
        max_overhead=None if FLAGS.max_overhead == 1.0 else FLAGS.max_overhead,
        keep_checkpoint_max=FLAGS.keep_checkpoint_max,
        progress=FLAGS.progress,
        overlap=FLAGS.overlap,
        jit=FLAGS.jit,
    )


def model_arguments(params: Any) -> dict[str, Any]:
    """The arguments of a Q model that the hyper-parameters decide, as configs."""
    optimizer: OptimizerConfig = AdamConfig(learning_rate=params.learning_rate)
    exploration: ExplorationConfig = DecayExplorationConfig(
        exploration_rate=params.exploration_start,
        min_exploration_rate=params.exploration_final,
        decay_steps=params.exploration_timesteps,
    )
    expert: dict[str, Any] = {}
    if params.demos is not None:
        expert = {name: params[name] for name in ("expert_margin", "expert_weight")} | {"use_expert_demo": True}
    return {
        **expert,
        "optimizer_config": optimizer,
        "exploration_config": exploration,
        "discount": params.discount,
        "target_update_frequency": params.target_update_frequency,
        "target_update_tau": params.target_update_tau,
        "dueling": None if params.dueling == "none" else params.dueling,
        "clip_gradients": params.clip_gradients,
        "clip_embed_gradients": params.clip_embed_gradients,
        "temperature": FLAGS.temperature,
    }


def memory(params: dict[str, Any], frame_stack: int | None = None) -> Replay:
    """The replay memory that the hyper-parameters describe; `frame_stack` is how many frames a state stacks, if it does."""
    size, batch_size = params["memory_size"], params["batch_size"]
    options = {"n_step": params["n_step"], "frame_stack": frame_stack}
    given: dict[str, Any] = {}
    if params["demos"] is not None and FLAGS.mode in TRAINING_MODES:  # Evaluation and inference do without the file.
        given = {"demonstrations": load(params["demos"])}
        logger.info("%r", given["demonstrations"])
        given |= {"demo_epsilon": params["demo_priority"]} if params["prioritized"] else {"demo_share": params["demo_share"]}
    if not params["prioritized"]:
        return UniformReplay(size, batch_size, **options, **given)
    return PrioritizedReplay(
        size,
        batch_size,
        **options,
        **given,
        alpha=params["priority_exponent"],
        beta=params["importance_exponent"],
        beta_steps=params["importance_steps"],
    )


def environment(env_id: str, params: dict[str, Any], **kwargs: Any) -> EnvLike:
    """The environment of that id, run by `--env_backend`; `kwargs` are gymnasium's for it.

    Raises:
        ValueError: if the backend does not have it, or its package is not installed.
    """
    backend, num_envs = FLAGS.env_backend, params["num_envs"]
    if kwargs and backend not in ("gymnasium", "async"):
        raise ValueError(f"--env_backend={backend} does not take {sorted(kwargs)} of {env_id}; use gymnasium or async.")
    if backend == "compiled":
        from polyrl.envs.compiled import compiled_environment

        return compiled_environment(env_id, num_envs)
    if backend == "envpool":
        return EnvpoolEnvironment(env_id, num_envs)
    if backend == "ale":
        raise ValueError(f"--env_backend=ale runs Atari games; for {env_id} use gymnasium, async, compiled or envpool.")
    return GymEnvironment(env_id, num_envs, vectorization_mode="async" if backend == "async" else "sync", **kwargs)


def rl_experiment(agent: Agent, env: EnvLike, eval_env: EnvLike | None = None) -> RLExperiment:
    """The `RLExperiment` that the flags describe; `eval_env` is what it is evaluated on, `env` by default."""
    return RLExperiment(
        agent,
        env,
        eval_env=eval_env,
        train_steps=FLAGS.train_steps,
        train_episodes=FLAGS.train_episodes,
        train_timesteps=FLAGS.train_timesteps,
        first_update=agent.params.first_update,
        update_frequency=agent.params.update_frequency,
        pretrain_updates=agent.params.pretrain_updates,
        eval_episodes=FLAGS.eval_episodes,
        eval_frequency=FLAGS.eval_frequency,
        eval_episodes_while_training=FLAGS.eval_episodes_while_training,
        stop_at_reward=FLAGS.stop_at_reward,
        infer_episodes=FLAGS.infer_episodes,
        infer_output=FLAGS.output,
        checkpoint=FLAGS.checkpoint,
    )


def _log_to_console() -> None:
    """Shows polyrl's messages, and of the libraries beneath it warnings only."""
    if not FLAGS["verbosity"].present:
        absl_logging.set_verbosity(absl_logging.WARNING)
    handler: logging.Handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("[%(asctime)s] %(message)s", "%H:%M:%S"))
    if sys.stderr.isatty():
        handler = RichHandler(console=Console(stderr=True), show_path=False, show_level=False, log_time_format="[%X]")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [handler]


def run(main: Callable[[Sequence[str]], Any]) -> None:
    """Parses the flags and runs `main`; its errors are shown as one message, or whole with `--debug`.

    The exit status is 0, 1 after an error, or 128 plus the number of the signal that ended a training run.
    """
    for module, defined in FLAGS.flags_by_module_dict().items():
        if module.startswith("polyrl."):
            for flag in defined:
                FLAGS.register_key_flag_for_module(sys.argv[0], flag)

    def guarded(argv: Sequence[str]) -> None:
        _log_to_console()
        if len(argv) > 1:
            raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
        try:
            result = main(argv)
        except (ValueError, TypeError, KeyError, FileNotFoundError, FileExistsError, NonFiniteError) as error:
            if FLAGS.debug:
                raise
            message = error.args[0] if isinstance(error, KeyError) and error.args else error
            print(f"{type(error).__name__}: {message}\n(--debug shows the traceback.)", file=sys.stderr)
            sys.exit(1)
        training = result[0] if isinstance(result, tuple) else result
        if isinstance(training, TrainingResult) and training.signal is not None:
            sys.exit(128 + training.signal)

    app.run(guarded)
