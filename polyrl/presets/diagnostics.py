"""Presets for environments that ask for one ability each: here, to remember."""

from __future__ import annotations

from typing import Any

MEMORY_CHAIN: dict[str, Any] = {
    "env": "MemoryChain",
    "env_backend": "compiled",
    "num_envs": 8,
    "dueling": "none",
    "units": (16,),
    "recurrent_units": 16,
    "sequence_length": 8,
    "batch_size": 128,
    "train_timesteps": 8_000,
    "first_update": 200,
    "update_frequency": 8,
    "target_update_frequency": 50,
    "exploration_timesteps": 4_000,
    "exploration_final": 0.02,
    "learning_rate": 5e-3,
    "discount": 0.95,
}

PRESETS: dict[str, dict[str, Any]] = {
    "memory_chain_drqn": {**MEMORY_CHAIN, "model": "dqn", "recurrent": "gru"},
    "memory_chain_r2d2": {**MEMORY_CHAIN, "model": "r2d2", "prioritized": True, "n_step": 2, "burn_in": 2},
}
