"""Presets for classic control and LunarLander."""

from __future__ import annotations

from typing import Any

CARTPOLE: dict[str, Any] = {
    "env": "CartPole-v1",
    "env_backend": "compiled",
    "initializer": "torch",
    "train_timesteps": 50_000,
    "exploration_timesteps": 5_000,
    "exploration_final": 0.04,
}

PRESETS: dict[str, dict[str, Any]] = {
    "cartpole_dqn": {**CARTPOLE, "model": "dqn"},
    "cartpole_c51": {**CARTPOLE, "model": "c51", "min_q_value": 0.0, "max_q_value": 100.0, "n_step": 3},
    "cartpole_pqn": {
        **CARTPOLE,
        "model": "pqn",
        "num_envs": 32,
        "layer_norm": True,
        "dueling": "none",
        "trace_decay": 0.9,
        "first_update": 0,
        "update_frequency": 2_048,
        "updates_at_once": 32,
        "batch_size": 256,
        "train_timesteps": 200_000,
        "exploration_timesteps": 60_000,
        "learning_rate_final": 1e-5,
        "learning_rate_updates": 3_000,
    },
}
