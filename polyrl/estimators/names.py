"""What tf.estimator's arguments are called here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from polyrl.validation import check_keywords

AGENT = {
    "seed": "Use config=RunConfig(seed=...).",
    "env": "Give it to the calls: Agent.train(env), Agent.evaluate(env).",
    "replay": "Use memory.",
    "replay_memory": "Use memory.",
    "run_config": "Use config.",
    "hparams": "Use params.",
}
"""What others call the arguments of `Agent`, and what to use here."""

METHODS = {
    **dict.fromkeys(("learn", "fit"), "Use train(env, timesteps=...)."),
    **dict.fromkeys(("train_and_evaluate", "train_and_eval"), "Use polyrl.train_and_evaluate(agent, train_spec, eval_spec)."),
    **dict.fromkeys(("save", "save_model", "save_weights"), "A run saves itself in its model_dir; see RunConfig."),
    **dict.fromkeys(
        ("load", "load_model", "load_weights", "restore", "from_pretrained"),
        "Agent(model_fn, memory, model_dir) resumes the run in model_dir; Predictor.from_model_dir reads it.",
    ),
    **dict.fromkeys(("test", "eval", "evaluate_policy"), "Use evaluate(env, episodes=...)."),
    **dict.fromkeys(("export", "export_savedmodel", "export_saved_model"), "Use predictor().export(path)."),
    **dict.fromkeys(
        ("save_replay_buffer", "load_replay_buffer"), "Checkpoints hold the memory; see RunConfig(save_replay=...)."
    ),
    "policy": "Use predictor().policy.",
    "best_checkpoint": "Use checkpoints.best().",
    **dict.fromkeys(("close", "stop"), "There is nothing to close; a hook ends a run by run.request_stop(reason)."),
}
"""What others call the methods of `Agent`, and what to use here."""

TRAIN = {
    **dict.fromkeys(("total_timesteps", "num_timesteps", "train_timesteps", "env_steps", "total_steps"), "Use timesteps."),
    **dict.fromkeys(("num_steps", "train_steps", "updates", "num_updates"), "Use steps, gradient updates."),
    **dict.fromkeys(("gradient_steps", "n_updates", "utd", "replay_ratio"), "Use updates_at_once, or the budget steps."),
    **dict.fromkeys(("num_episodes", "n_episodes", "train_episodes"), "Use episodes."),
    **dict.fromkeys(("learning_starts", "warmup_steps", "min_replay_size", "train_start"), "Use first_update."),
    **dict.fromkeys(("train_freq", "update_period", "train_frequency", "update_freq"), "Use update_frequency."),
    **dict.fromkeys(("callback", "callbacks", "saving_listeners", "training_hooks"), "Use hooks."),
    **dict.fromkeys(("eval_env", "eval_freq", "eval_every"), "Use hooks=[EvaluationHook(env, every_timesteps=...)]."),
    **dict.fromkeys(("progress_bar", "log_interval", "verbose"), "Use Agent(config=RunConfig(progress=True))."),
    "input_fn": "Give the environment as the first argument.",
    "seed": "Use Agent(config=RunConfig(seed=...)).",
    "reset_num_timesteps": "A run resumes from model_dir; timesteps counts from there, max_timesteps in all.",
    "pretrain_steps": "Use pretrain_updates.",
}
"""What others call the arguments of `Agent.train`, and what to use here."""

READ = {
    "input_fn": "Give the environment as the first argument.",
    "checkpoint_path": "Use checkpoint.",
    "hooks": "Hooks run while a model trains, Agent.train(hooks=...); what this returns tells the rest.",
    "predict_keys": "Each row has all predictions; take those you need.",
    "yield_single_examples": "There is one row for each environment step.",
    "num_episodes": "Use episodes.",
    "n_eval_episodes": "Use episodes.",
    "steps": "Use episodes.",
    "deterministic": "The action for a state is act(state): greedy unless the model has a temperature.",
}
"""What others call the arguments of `Agent.evaluate`, `predict`, `record` and `act`, and what to use here."""

TRAIN_SPEC = {
    "input_fn": "Give the environment: TrainSpec(env, max_steps=...).",
    "saving_listeners": "Use hooks.",
    "steps": "Use max_steps, gradient updates in all, or max_timesteps.",
    "timesteps": "Use max_timesteps, environment steps in all.",
    "episodes": "Use max_episodes.",
}
"""What tf.estimator calls the arguments of `TrainSpec`, and what to use here."""

EVAL_SPEC = {
    "input_fn": "Give the environment: EvalSpec(env, episodes=...).",
    "steps": "Use episodes.",
    **dict.fromkeys(("throttle_secs", "start_delay_secs"), "Use every_timesteps, environment steps between evaluations."),
    "hooks": "Hooks run while a model trains: TrainSpec(hooks=...).",
}
"""What tf.estimator calls the arguments of `EvalSpec`, and what to use here."""

EXPERIMENT = {
    **dict.fromkeys(("timesteps", "max_timesteps", "total_timesteps", "num_timesteps"), "Use train_timesteps."),
    **dict.fromkeys(("steps", "max_steps"), "Use train_steps, gradient updates."),
    **dict.fromkeys(("episodes", "max_episodes"), "Use train_episodes."),
    **dict.fromkeys(("eval_steps", "n_eval_episodes"), "Use eval_episodes."),
    **dict.fromkeys(("eval_freq", "eval_delay_secs", "min_eval_frequency"), "Use eval_frequency, environment steps."),
    **dict.fromkeys(("train_input_fn", "eval_input_fn", "input_fn"), "Give the environment: RLExperiment(agent, env)."),
    **dict.fromkeys(("hooks", "train_monitors", "callback"), "Use train_hooks."),
}
"""What others, and `Agent.train`, call the arguments of `RLExperiment`, and what to use here."""

_KNOWN_ALREADY = "Leave it out: a policy knows what its states look like."
EXPORTER = {
    **dict.fromkeys(("serving_input_receiver_fn", "serving_input_fn", "event_file_pattern"), _KNOWN_ALREADY),
    **dict.fromkeys(("assets_extra", "as_text"), "Leave it out: there are neither assets nor a text form."),
}
"""What tf.estimator calls the arguments of exporters, and what to use here."""


def check_train(positional: tuple[Any, ...], unknown: Mapping[str, Any], known: Sequence[str]) -> None:
    """A TypeError for arguments that `Agent.train` does not take, which says what to use instead."""
    if positional:
        raise TypeError(
            f"Agent.train takes the environment alone by position, and got {positional[0]!r} after it; name what it is, as "
            "train(env, timesteps=10_000) for environment steps."
        )
    check_keywords("Agent.train", unknown, known, TRAIN)


def checked_run_name(name: str) -> str:
    """The name of an evaluation, which is part of a directory's; a ValueError for what would lead elsewhere."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"name={name!r} must be letters, digits, '_', '-' and '.': results go to model_dir/eval_<name>.")
    return name
