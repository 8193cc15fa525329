"""Presets that show each model on the same task, CartPole, and the parts of "Beyond the Rainbow"."""

from __future__ import annotations

from typing import Any

from polyrl.presets.control import CARTPOLE
from polyrl.presets.images import PONG

BEYOND_RAINBOW: dict[str, Any] = {
    # Clark et al. 2024.
    "model": "munchausen_iqn",
    "noisy": True,
    "n_step": 3,
    "prioritized": True,
    "priority_exponent": 0.2,
    "importance_exponent": 0.45,
    "num_samples": 8,
    "num_policy_samples": 32,
}

PRESETS: dict[str, dict[str, Any]] = {
    "cartpole_iqn": {**CARTPOLE, "model": "iqn", "n_step": 3, "num_samples": 16},
    "cartpole_munchausen_iqn": {**CARTPOLE, "model": "munchausen_iqn", "n_step": 3, "num_samples": 16},
    "cartpole_expected_sarsa": {**CARTPOLE, "model": "expected_sarsa"},
    # Noise explores.
    "cartpole_btr": {
        **{name: value for name, value in CARTPOLE.items() if name not in ("initializer",) and "exploration" not in name},
        **BEYOND_RAINBOW,
        "importance_steps": 50_000,
    },
    "atari_pong_btr": {
        **{name: value for name, value in PONG.items() if "exploration" not in name},
        **BEYOND_RAINBOW,
        "torso": "impala_cnn",
        "width": 2,
        "dueling": "mean",
        "num_envs": 64,
        "batch_size": 256,
        "update_frequency": 64,
        "target_update_frequency": 500,
        "discount": 0.997,
        "learning_rate": 1e-4,
        "adam_epsilon": 0.005 / 256,
    },
}
