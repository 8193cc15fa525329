"""What the flags are made into: hyper-parameters, and the parts of an experiment that they describe."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from polyrl.configs import AdamConfig, DecayExplorationConfig, ExplorationConfig, OptimizerConfig
from polyrl.demos import load
from polyrl.envs import EnvpoolEnvironment, GymEnvironment
from polyrl.envs.gym import EnvLike
from polyrl.errors import CheckpointMismatchError
from polyrl.estimators import Agent, RunConfig, WarmStartSettings
from polyrl.estimators.checkpoints.params import OTHERWISE, check_same_params, read_params
from polyrl.estimators.exporters import Exporter
from polyrl.estimators.hooks import Hook, ProfilerHook, VideoHook
from polyrl.experiments.config_file import ConfigFileHook
from polyrl.experiments.rl_experiment import RLExperiment
from polyrl.experiments.serving import Serving
from polyrl.flags import FLAGS, HYPER_PARAMETERS, TRAINING_MODES, check_given, config
from polyrl.flags.existing import check_warm_start
from polyrl.paths import resolved
from polyrl.replay import PrioritizedReplay, Replay, UniformReplay

logger = logging.getLogger("polyrl")


def read_hyper_parameters(
    model_dir: str | os.PathLike[str],
    *extra: str,
    fixed: Collection[str] = (),
    check_names: Callable[[dict[str, Any]], Any] | None = None,
) -> dict[str, Any]:
    """The hyper-parameters by flag name: as given, else as in a trained `model_dir`, else the defaults.

    Args:
        model_dir: the run's directory.
        extra: names of the script's own flags that are hyper-parameters too.
        fixed: names of flags that count as given though they are not on the command line.
        check_names: raises a ValueError for a hyper-parameter that names something which does not exist. It is asked before
            differences to a trained `model_dir` are told: a misspelt name is no other run.

    Raises:
        CheckpointMismatchError: if one is given that differs from what `model_dir` was trained with; it shows both.
        ValueError: if a flag is given that has no effect with the others, see `needs`.
    """
    directory = resolved("--model_dir", model_dir)
    saved = None if FLAGS.overwrite else read_params(directory)
    saved = {} if saved is None else saved
    values = {name: FLAGS[name].value for name in (*HYPER_PARAMETERS, *extra)}
    values |= {name: saved[name] for name in values if name in saved and not (FLAGS[name].present or name in fixed)}
    check_given(values)
    check_warm_start(directory)
    try:
        if not FLAGS.overwrite:
            trains = FLAGS.mode in TRAINING_MODES
            remedy = OTHERWISE if trains else "Leave these flags out, or name another --model_dir."
            if not trains and any(name in FLAGS and FLAGS[name].present for name in ("env", "env_kwargs", "wrappers")):
                remedy += " In Python, `Agent.evaluate` takes any environment of the same spaces."
            # The same weights serve each precision.
            free = {} if trains else {name: saved[name] for name in ("precision",) if name in saved}
            check_same_params(directory, {**values, **free}, remedy)
    except CheckpointMismatchError:
        if check_names is not None:
            check_names(values)
        raise
    return values


def run_config(params: dict[str, Any]) -> RunConfig:
    """The `RunConfig` that the flags describe."""
    return RunConfig(
        seed=params["seed"],
        save_summary_timesteps="auto" if FLAGS.save_summary_timesteps is None else FLAGS.save_summary_timesteps,
        save_checkpoints_timesteps=FLAGS.save_checkpoints_timesteps,
        save_checkpoints_secs=FLAGS.save_checkpoints_secs,
        max_overhead=None if FLAGS.max_overhead == 1.0 else FLAGS.max_overhead,
        keep_checkpoint_max=FLAGS.keep_checkpoint_max,
        save_replay=FLAGS.save_replay,
        progress=FLAGS.progress,
        overlap=FLAGS.overlap,
        check_env=FLAGS.check_env,
        exact_resume=FLAGS.exact_resume,
        jit=FLAGS.jit,
        threads=FLAGS.threads,
        strategy=FLAGS.strategy if FLAGS.mode in TRAINING_MODES else "one",  # Also of a run that was trained with another.
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
    period = "target_update_frequency" if params.target_update_timesteps is None else "target_update_timesteps"
    return {
        **expert,
        "optimizer_config": optimizer,
        "exploration_config": exploration,
        "discount": params.discount,
        period: params[period],
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
    if backend == "async":
        return GymEnvironment(env_id, num_envs, "async", FLAGS.env_timeout, FLAGS.env_restarts, **kwargs)
    return GymEnvironment(env_id, num_envs, **kwargs)


def warm_start() -> WarmStartSettings | None:
    """Which weights a new run begins with, as `--warm_start_from` and `--warm_start_vars` say; None: its own."""
    if FLAGS.warm_start_from is None:
        return None
    try:
        return WarmStartSettings(resolved("--warm_start_from", FLAGS.warm_start_from), FLAGS.warm_start_vars or ".*")
    except ValueError as error:
        raise ValueError(f"--warm_start_vars={','.join(FLAGS.warm_start_vars or ())}: {error}") from error


def rl_experiment(
    agent: Agent,
    env: EnvLike,
    eval_env: EnvLike | None = None,
    *,
    train_hooks: Sequence[Hook] = (),
    exporters: Sequence[Exporter] = (),
) -> RLExperiment:
    """The `RLExperiment` that the flags describe.

    Args:
        agent: that is trained.
        env: what it is trained on.
        eval_env: what it is evaluated on, `env` by default.
        train_hooks: the program's own, beside those that flags ask for.
        exporters: see `RLExperiment`.
    """
    hooks: list[Hook] = [ConfigFileHook(config.written()), *train_hooks]
    if FLAGS.record_frequency is not None:
        hooks.append(VideoHook(env if eval_env is None else eval_env, FLAGS.record_frequency, 1, FLAGS.record_format))
    if FLAGS.profile_steps is not None:
        hooks.append(ProfilerHook(*_range("profile_steps", FLAGS.profile_steps)))
    return RLExperiment(
        agent,
        env,
        eval_env=eval_env,
        train_hooks=hooks,
        exporters=exporters,
        train_steps=FLAGS.train_steps,
        train_episodes=FLAGS.train_episodes,
        train_timesteps=FLAGS.train_timesteps,
        first_update=agent.params.first_update,
        update_frequency=agent.params.update_frequency,
        updates_at_once=agent.params.updates_at_once,
        pretrain_updates=agent.params.pretrain_updates,
        overwrite=FLAGS.overwrite,
        warm_start_from=warm_start(),
        eval_episodes=FLAGS.eval_episodes,
        eval_frequency=FLAGS.eval_frequency,
        eval_episodes_while_training=FLAGS.eval_episodes_while_training,
        stop_at_reward=FLAGS.stop_at_reward,
        infer_episodes=FLAGS.infer_episodes,
        infer_output=None if FLAGS.output is None else _file("output", FLAGS.output),
        checkpoint=FLAGS.checkpoint,
        record_episodes=FLAGS.record_episodes,
        record_format=FLAGS.record_format,
        serving=Serving(FLAGS.model_name, FLAGS.export_format, FLAGS.host, FLAGS.port),
    )


def _file(name: str, value: str) -> Path:
    """The path of a file that a flag names; an error for what is a directory."""
    path = resolved(f"--{name}", value)
    if path.is_dir():
        raise IsADirectoryError(f"--{name}={value} is a directory; name a file in it, as {value.rstrip('/')}/steps.jsonl.")
    return path


def _range(name: str, values: Sequence[str]) -> tuple[int, int]:
    """A flag's two numbers, the second one larger; a ValueError otherwise."""
    if len(values) != 2 or not all(value.strip().isdecimal() for value in values) or int(values[0]) >= int(values[1]):
        raise ValueError(f"--{name}={','.join(values)} must be two gradient updates, the smaller one first, as 2000,2500.")
    return int(values[0]), int(values[1])
