"""Presets for classic control."""

from __future__ import annotations

from typing import Any

CARTPOLE: dict[str, Any] = {
    "env": "CartPole-v1",
    "env_backend": "compiled",
    "initializer": "torch",
    "train_timesteps": 50_000,
    "exploration_timesteps": 5_000,
    "exploration_final": 0.04,
    "learning_rate_final": 1e-5,
    "learning_rate_updates": 49_000,
}

ACROBOT: dict[str, Any] = {
    "env": "Acrobot-v1",
    "env_backend": "compiled",
    "initializer": "torch",
    "train_timesteps": 100_000,
    "exploration_timesteps": 12_000,
    "exploration_final": 0.05,
    "learning_rate": 6.3e-4,
    "learning_rate_final": 1e-5,
    "learning_rate_updates": 99_000,
    "batch_size": 128,
    "units": (256, 256),
    "update_frequency": 4,
    "updates_at_once": 4,
    "target_update_frequency": 250,
}

MOUNTAIN_CAR: dict[str, Any] = {
    "env": "MountainCar-v0",
    "env_backend": "compiled",
    "num_envs": 1,
    "dueling": "none",
    "initializer": "torch",
    "train_timesteps": 120_000,
    "exploration_timesteps": 24_000,
    "exploration_final": 0.07,
    "learning_rate": 4e-3,
    "learning_rate_final": 4e-5,
    "learning_rate_updates": 60_000,
    "batch_size": 128,
    "memory_size": 10_000,
    "discount": 0.98,
    "units": (256, 256),
    "update_frequency": 16,
    "updates_at_once": 8,
    "target_update_frequency": 300,
}

LUNAR_LANDER: dict[str, Any] = {
    "env": "LunarLander-v3",
    "num_envs": 1,
    "dueling": "none",
    "double": True,
    "n_step": 3,
    "initializer": "torch",
    "train_timesteps": 100_000,
    "exploration_timesteps": 12_000,
    # Not less: greedier agents hover until the time limit, and seldom see a landing.
    "exploration_final": 0.1,
    # For errors below 1, where the Huber loss is a square: it estimates means; beyond it comes near to medians.
    "reward_scale": 0.02,
    "learning_rate": 5e-4,
    "learning_rate_final": 1e-5,
    "learning_rate_updates": 198_000,
    "batch_size": 64,
    "memory_size": 100_000,
    "units": (256, 256),
    "update_frequency": 4,
    "updates_at_once": 8,
    "target_update_frequency": 500,
}

PENDULUM: dict[str, Any] = {
    "env": "Pendulum-v1",
    "env_backend": "compiled",
    "num_envs": 1,
    "initializer": "torch",
    "train_timesteps": 50_000,
    "exploration_timesteps": 25_000,
    "exploration_final": 0.05,
    "learning_rate_final": 1e-5,
    "learning_rate_updates": 49_000,
    "batch_size": 128,
    "memory_size": 100_000,
    "discount": 0.98,
    "units": (256, 256),
    "target_update_frequency": 1,
    "target_update_tau": 0.01,
}

PQN: dict[str, Any] = {
    # Of Gallici et al. 2024: many environments, rollouts learned from several times, LayerNorm in place of a target network.
    "num_envs": 32,
    "layer_norm": True,
    "dueling": "none",
    "trace_decay": 0.9,
    "first_update": 0,
    "update_frequency": 2_048,
    "updates_at_once": 32,
    "batch_size": 256,
}
"""What PQN needs on any environment: the defaults of the others, a replay memory's, make no rollouts."""

PRESETS: dict[str, dict[str, Any]] = {
    "cartpole_dqn": {**CARTPOLE, "model": "dqn"},
    "cartpole_c51": {**CARTPOLE, "model": "c51", "min_q_value": 0.0, "max_q_value": 100.0, "n_step": 3},
    "cartpole_rainbow": {
        **CARTPOLE,
        "model": "rainbow",
        "min_q_value": 0.0,
        "max_q_value": 100.0,
        "n_step": 3,
        "prioritized": True,
        "importance_steps": 20_000,
        "train_timesteps": 20_000,
        "learning_rate_updates": 19_000,
    },
    "cartpole_qr_dqn": {**CARTPOLE, "model": "qr_dqn", "n_step": 3},
    "cartpole_munchausen_dqn": {**CARTPOLE, "model": "munchausen_dqn", "n_step": 3},
    "cartpole_pqn": {
        **CARTPOLE,
        "model": "pqn",
        **PQN,
        # Eight steps of each environment: with 64, as in PQN, the last policies are worse than the best ones.
        "update_frequency": 256,
        "updates_at_once": 8,
        "batch_size": 128,
        "train_timesteps": 200_000,
        "exploration_timesteps": 60_000,
        "learning_rate_updates": 6_200,
    },
    "acrobot_dqn": {
        **ACROBOT,
        "model": "dqn",
        "num_envs": 1,
        "dueling": "none",
        "double": True,
        "n_step": 3,
        "exploration_final": 0.02,
    },
    "acrobot_c51": {
        **ACROBOT,
        "model": "c51",
        "num_envs": 1,
        "dueling": "none",
        "double": True,
        "layer_norm": True,
        "min_q_value": -100.0,
        "max_q_value": 0.0,
        "n_step": 3,
    },
    "acrobot_rainbow": {
        **ACROBOT,
        "model": "rainbow",
        "min_q_value": -100.0,
        "max_q_value": 0.0,
        "n_step": 3,
        "prioritized": True,
        "importance_steps": 20_000,
        "train_timesteps": 20_000,
        "learning_rate_updates": 19_000,
    },
    "acrobot_qr_dqn": {**ACROBOT, "model": "qr_dqn", "n_step": 3},
    "pendulum_naf": {**PENDULUM, "model": "naf"},
    "lunar_lander_dqn": {**LUNAR_LANDER, "model": "dqn"},
    "lunar_lander_c51": {
        **LUNAR_LANDER,
        "model": "c51",
        "min_q_value": -8.0,
        "max_q_value": 6.0,
        "layer_norm": True,
        "exploration_final": 0.05,
        # With 0.99 a landing some hundred steps away is worth little, and some agents learn to hover.
        "discount": 0.995,
    },
    "mountain_car_dqn": {**MOUNTAIN_CAR, "model": "dqn"},
    "mountain_car_c51": {**MOUNTAIN_CAR, "model": "c51", "min_q_value": -50.0, "max_q_value": 0.0, "n_step": 3},
    "mountain_car_qr_dqn": {**MOUNTAIN_CAR, "model": "qr_dqn", "n_step": 3},
}
