"""Presets for environments with discrete states."""

from __future__ import annotations

from typing import Any

FROZEN_LAKE: dict[str, Any] = {
    "train_timesteps": 60_000,
    "update_frequency": 2,
    "exploration_timesteps": 20_000,
    "exploration_final": 0.1,
    "eval_frequency": 5_000,
    "eval_episodes_while_training": 200,
    # Of 0.744, the best share of the episodes that reach the goal.
    "stop_at_reward": 0.72,
    "eval_episodes": 1_000,
}
"""What `experiments/frozen_lake_dqn.py` begins with, too."""

PRESETS: dict[str, dict[str, Any]] = {
    "frozen_lake_dqn": {**FROZEN_LAKE, "env": "FrozenLake-v1", "units": (64,), "model": "dqn"},
}
