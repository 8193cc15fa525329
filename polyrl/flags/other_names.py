"""What flags and models of other libraries are called here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

FLAGS: dict[str, str] = {
    **dict.fromkeys(("lr", "alpha"), "--learning_rate"),
    "gamma": "--discount",
    **dict.fromkeys(("network", "backbone", "encoder"), "--torso"),
    **dict.fromkeys(("env_id", "env_name", "environment", "game"), "--env"),
    **dict.fromkeys(("algo", "agent", "agent_name", "algorithm"), "--model"),
    **dict.fromkeys(
        ("logdir", "log_folder", "tensorboard_log", "output_dir", "base_dir", "run_dir", "exp_name", "run_id", "uuid", "f"),
        "--model_dir",
    ),
    **dict.fromkeys(("n", "steps", "n_timesteps", "total_timesteps", "num_timesteps", "timesteps"), "--train_timesteps"),
    **dict.fromkeys(("num_iterations", "max_timesteps", "epochs", "total_steps", "max_steps"), "--train_timesteps"),
    **dict.fromkeys(("episodes", "num_episodes"), "--train_episodes, or --eval_episodes"),
    **dict.fromkeys(("buffer_size", "replay_capacity", "replay_size"), "--memory_size"),
    **dict.fromkeys(("learning_starts", "min_replay_history", "initial_collect_steps"), "--first_update"),
    **dict.fromkeys(("train_freq", "train_frequency", "update_period"), "--update_frequency"),
    "gradient_steps": "--updates_at_once",
    **dict.fromkeys(
        ("target_update_interval", "target_network_frequency", "target_update_period"),
        "--target_update_timesteps, environment steps, or --target_update_frequency, updates",
    ),
    "tau": "--target_update_tau",
    **dict.fromkeys(("epsilon", "start_e", "exploration_initial_eps"), "--exploration_start"),
    **dict.fromkeys(("end_e", "exploration_final_eps", "epsilon_train", "min_epsilon"), "--exploration_final"),
    **dict.fromkeys(
        ("exploration_fraction", "epsilon_decay_period", "epsilon_decay"), "--exploration_timesteps, environment steps"
    ),
    **dict.fromkeys(("n_envs", "vec_envs", "nb_envs"), "--num_envs"),
    **dict.fromkeys(("v_min", "vmin"), "--min_q_value"),
    **dict.fromkeys(("v_max", "vmax"), "--max_q_value"),
    **dict.fromkeys(("n_atoms", "atoms"), "--num_atoms"),
    **dict.fromkeys(("hidden_units", "hidden_sizes", "net_arch", "fc_layer_params", "layers"), "--units=64,64"),
    "policy_kwargs": "--units=64,64, --torso, or --set for the optimizer",
    **dict.fromkeys(("norm_obs", "normalize", "vec_normalize"), "--normalize_inputs"),
    **dict.fromkeys(("norm_reward", "normalize_reward"), "--reward_scale"),
    **dict.fromkeys(("per", "prioritized_replay"), "--prioritized"),
    **dict.fromkeys(("double_q", "double_dqn"), "--double"),
    **dict.fromkeys(("update_horizon", "n_steps", "multi_step"), "--n_step"),
    **dict.fromkeys(("max_grad_norm", "gradient_clipping", "grad_clip"), "--clip_gradients"),
    **dict.fromkeys(("eval_freq", "eval_interval"), "--eval_frequency"),
    **dict.fromkeys(("n_eval_episodes", "eval_eps"), "--eval_episodes"),
    **dict.fromkeys(("save_freq", "save_checkpoints_steps"), "--save_checkpoints_timesteps"),
    **dict.fromkeys(("trained_agent", "i", "load", "pretrained"), "--warm_start_from, or --model_dir to resume a run"),
    **dict.fromkeys(("resume", "restore"), "--model_dir: the run that it holds is resumed"),
    **dict.fromkeys(("load_best", "best"), "--checkpoint=best"),
    **dict.fromkeys(("load_checkpoint", "load_last_checkpoint", "ckpt"), "--checkpoint"),
    **dict.fromkeys(("deterministic", "stochastic"), "--temperature: actions are greedy unless it is given"),
    **dict.fromkeys(("optimize_hyperparameters", "optimize", "n_trials"), "scripts/tune.py, see docs/tuning.md"),
    **dict.fromkeys(("verbose", "quiet", "progress_bar"), "--progress"),
    **dict.fromkeys(("ent_coef", "entropy_coef", "clip_range", "gae_lambda"), "another library: it is of policy gradients"),
    **dict.fromkeys(("capture_video", "record_video"), "--mode=record, or --record_frequency"),
    **dict.fromkeys(("device", "gpu", "cuda"), "the environment variable CUDA_VISIBLE_DEVICES: TensorFlow chooses the device"),
    **dict.fromkeys(("conf_file", "gin_files", "gin_bindings", "hyperparams", "hyperparameters"), "--config or --set"),
    **dict.fromkeys(("solve", "solved", "reward_threshold", "early_stopping"), "--stop_at_reward"),
    **dict.fromkeys(("track", "wandb"), "a hook, see docs/tensorboard.md"),
    **dict.fromkeys(
        ("mask", "masks", "action_mask", "action_masks", "legal_actions"),
        "a key action_mask of the environment's observations, see docs/observations.md",
    ),
}
"""By the flag's name: what does the same here."""

MODELS: dict[str, str] = {
    **dict.fromkeys(("ddqn", "double_dqn"), "--model=dqn --double"),
    **dict.fromkeys(("dueling", "dueling_dqn", "duel_dqn", "d3qn"), "--model=dqn --double, whose heads are dueling"),
    **dict.fromkeys(("drqn", "recurrent_dqn"), "--model=dqn --recurrent=lstm"),
    **dict.fromkeys(("dqfd",), "--model=dqn --demos=..."),
    **dict.fromkeys(("noisy_dqn", "noisynet"), "--model=dqn --noisy"),
    **dict.fromkeys(("per", "prioritized_dqn"), "--model=dqn --prioritized"),
    **dict.fromkeys(("categorical", "categorical_dqn", "distributional"), "--model=c51"),
    **dict.fromkeys(("qrdqn", "quantile"), "--model=qr_dqn"),
    **dict.fromkeys(("mdqn", "m_dqn", "munchausen"), "--model=munchausen_dqn"),
    **dict.fromkeys(("btr",), "--config=cartpole_btr, a preset"),
    **dict.fromkeys(
        ("ppo", "a2c", "a3c", "sac", "td3", "ddpg", "trpo", "reinforce"),
        "another library: polyrl's models learn action values; for continuous actions it has --model=naf",
    ),
}
"""By the name of a model: what it is here."""

MODES: dict[str, str] = {
    **dict.fromkeys(("test", "evaluate", "evaluation", "val", "validate"), "--mode=eval"),
    **dict.fromkeys(("predict", "play", "act", "run"), "--mode=infer"),
    **dict.fromkeys(("enjoy", "render", "watch", "video"), "--mode=record, or --mode=infer for the steps in text"),
    **dict.fromkeys(("resume", "continue", "fit"), "--mode=train: the run in --model_dir is resumed"),
    **dict.fromkeys(("tune", "sweep", "optimize"), "scripts/tune.py, see docs/tuning.md"),
    **dict.fromkeys(("plot", "curves"), "scripts/plot.py"),
}
"""By the name of a mode: what it is here."""


def hint(names: Mapping[str, str], name: str, near: bool = False) -> str:
    """` Use ...` for what has another name here, or an empty string; `near` takes a misspelt name too."""
    key = name.replace("-", "_").lower()
    close = difflib.get_close_matches(key, names, 1, cutoff=0.85) if near else []
    found = names.get(key, names[close[0]] if close else None)
    return "" if found is None else f" Use {found}."
