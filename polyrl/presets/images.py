"""Presets for images: Atari, MinAtar, MiniGrid, and a board in the graph."""

from __future__ import annotations

from typing import Any

ATARI: dict[str, Any] = {
    # Of Dopamine (Castro et al. 2018); in environment steps, but the target network in updates: 8,000 steps are 2,000.
    "batch_size": 32,
    "discount": 0.99,
    "exploration_final": 0.01,
    "exploration_timesteps": 250_000,
    "first_update": 20_000,
    "target_update_frequency": 2_000,
    "update_frequency": 4,
    # Hessel et al. 2018, for Adam; Mnih et al. 2015 had RMSProp.
    "learning_rate": 6.25e-5,
    # As in Mnih et al. 2015: plain Q values. There the Huber loss alone bounded the gradients.
    "dueling": "none",
    "clip_gradients": 10.0,
    # For an ordinary machine, where the papers have a million frames (7 GB) and 50 million steps. A frame is 7 KB: the memory
    # takes 0.7 GB, and each checkpoint as much again.
    "memory_size": 100_000,
    "train_timesteps": 2_000_000,
    "save_checkpoints_timesteps": 100_000,
    "keep_checkpoint_max": 1,
    "eval_frequency": 100_000,
    "eval_episodes_while_training": 5,
    "eval_episodes": 20,
}
"""What the Atari scripts begin with, too."""

PONG: dict[str, Any] = {**ATARI, "env": "ALE/Pong-v5", "clip_rewards": 1.0}

MINATAR: dict[str, Any] = {
    # Of Young & Tian 2019, whose RMSProp is replaced by Adam as in Obando-Ceron & Castro 2021.
    "batch_size": 32,
    "memory_size": 100_000,
    "discount": 0.99,
    "first_update": 5_000,
    "warmup_timesteps": 5_000,
    "exploration_final": 0.1,
    "exploration_timesteps": 100_000,
    "target_update_frequency": 1_000,
    "learning_rate": 2.5e-4,
    "adam_epsilon": 0.01 / 32,
    "dueling": "none",
    "filters": (16,),
    "units": (128,),
    # They have 5 million.
    "train_timesteps": 1_000_000,
    "save_checkpoints_timesteps": 100_000,
    "eval_frequency": 50_000,
}

MINATAR_PQN: dict[str, Any] = {
    # Of Gallici et al. 2024 for MinAtar; a quarter of their environments and twice their epochs, for a tenth of their steps.
    "num_envs": 32,
    "layer_norm": True,
    "dueling": "none",
    "filters": (16,),
    "units": (128,),
    "discount": 0.99,
    "trace_decay": 0.65,
    "first_update": 0,
    "update_frequency": 1_024,
    "updates_at_once": 32,
    "batch_size": 128,
    "learning_rate": 5e-4,
    "adam_epsilon": 1e-8,
    "exploration_final": 0.05,
    "exploration_timesteps": 100_000,
    "train_timesteps": 1_000_000,
    "save_checkpoints_timesteps": 100_000,
    "eval_frequency": 50_000,
}

MINIGRID: dict[str, Any] = {
    "wrappers": ("minigrid.wrappers:ImgObsWrapper",),
    "categories": 11,
    "filters": (16,),
    "units": (64,),
    "discount": 0.95,
    "dueling": "none",
    "update_frequency": 4,
    "exploration_final": 0.1,
    "train_timesteps": 20_000,
}

CATCH: dict[str, Any] = {
    "env": "Catch",
    "env_backend": "compiled",
    "discount": 0.99,
    "exploration_timesteps": 5_000,
    "train_timesteps": 30_000,
}

PRESETS: dict[str, dict[str, Any]] = {
    "atari_pong_dqn": {**PONG, "model": "dqn", "adam_epsilon": 1.5e-4},
    # The learning rate and the epsilon of Bellemare, Dabney and Munos 2017.
    "atari_pong_c51": {**PONG, "model": "c51", "learning_rate": 2.5e-4, "adam_epsilon": 0.01 / 32},
    "minatar_breakout_dqn": {**MINATAR, "env": "MinAtar/Breakout-v1", "model": "dqn"},
    "minatar_breakout_pqn": {**MINATAR_PQN, "env": "MinAtar/Breakout-v1", "model": "pqn"},
    "minigrid_empty_dqn": {**MINIGRID, "env": "MiniGrid-Empty-5x5-v0", "model": "dqn"},
    "catch_dqn": {**CATCH, "model": "dqn"},
}
