"""Models, environments and states for the tests of predictors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tiny_agents import q_model_fn
from tiny_envs import ScheduleEnv, TargetEnv

from polyrl.configs import AdamConfig
from polyrl.models import NAFModel
from polyrl.networks import mlp

STATE = np.array([0.0, 1.0, 2.0, 3.0], np.float32)


STATES = np.random.default_rng(0).normal(0.0, 9.0, [64, 4]).astype(np.float32)


FAST = {"optimizer_config": AdamConfig(learning_rate=0.05)}


def naf_fn(features: Any, labels: Any, mode: str) -> Any:
    bounds = {"action_low": TargetEnv.LOW, "action_high": TargetEnv.HIGH}
    return NAFModel(mode, mlp([8]), 3, 2, summaries=[], **bounds)(features, labels)


MODELS = {"dqn": q_model_fn(**FAST), "c51": q_model_fn("c51", **FAST, max_q_value=9.0), "naf": naf_fn}


def environment(kind: str = "dqn") -> Any:
    return TargetEnv(4) if kind == "naf" else ScheduleEnv(lengths=(4, 2))


def states(kind: str, count: int = 64) -> np.ndarray:
    return np.random.default_rng(1).normal(0.0, 9.0, [count, 3 if kind == "naf" else 4]).astype(np.float32)


def at(model_dir: Path, timestep: int) -> Path:
    return model_dir / "checkpoints" / f"ckpt-{timestep:09d}"


def q_values(prediction: Iterator[dict[str, Any]], count: int) -> list[list[float]]:
    return [next(prediction)["q"].tolist() for _ in range(count)]
