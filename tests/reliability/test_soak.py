"""A long run leaves nothing behind: memory, threads, descriptors, Python objects and graphs stay as they are."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from tiny_agents import q_model_fn

from polyrl.envs import GymEnvironment
from polyrl.envs.compiled import CartPole
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.hooks import EvaluationHook, Hook
from polyrl.replay import PrioritizedReplay

TIMESTEPS, EVERY = 200_000, 5_000
WARM = 80_000
"""All that is compiled once, and the memory, are there by then."""


class Measure(Hook):
    """What the process holds, after each evaluation and checkpoint."""

    def __init__(self):
        self.found: dict[int, dict[str, float]] = {}

    def after_act(self, run):
        if run.timestep // EVERY > len(self.found):
            gc.collect()
            objects = gc.get_objects()
            self.found[run.timestep] = {
                "megabytes": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
                "threads": threading.active_count(),
                "descriptors": len(os.listdir("/proc/self/fd")),
                "objects": len(objects),
                "graphs": sum(type(item).__name__ in ("FuncGraph", "ConcreteFunction", "AtomicFunction") for item in objects),
                "mappings": Path("/proc/self/maps").read_bytes().count(b"\n"),
            }


ENVIRONMENTS = {
    "sync": lambda: GymEnvironment("CartPole-v1", 8),
    "async": lambda: GymEnvironment("CartPole-v1", 2, "async"),
    "compiled": lambda: CartPole(num_envs=8),
}


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("jit", ["on", "off"])
@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_nothing_grows(tmp_path, kind, jit):
    config = RunConfig(
        save_checkpoints_timesteps=EVERY, save_summary_timesteps=1_000, max_overhead=None, progress=False, jit=jit
    )
    model = q_model_fn(num_actions=2, summaries=["loss", "reward", "exploration"])
    agent = Agent(model, PrioritizedReplay(10_000, 16), tmp_path, config)
    measure = Measure()
    hooks = [EvaluationHook(ENVIRONMENTS[kind](), EVERY, 4), measure]
    agent.train(ENVIRONMENTS[kind](), first_update=100, update_frequency=16, max_timesteps=TIMESTEPS, hooks=hooks)
    rows = [found for timestep, found in measure.found.items() if timestep >= WARM]
    assert len(rows) > 20
    half = len(rows) // 2
    grown = {
        name: np.median([row[name] for row in rows[half:]]) - np.median([row[name] for row in rows[:half]]) for name in rows[0]
    }
    # Between the halves are 60,000 steps and 12 evaluations and checkpoints.
    assert grown["threads"] <= 0, grown
    assert grown["descriptors"] <= 0, grown
    assert grown["graphs"] <= 0, grown
    assert grown["mappings"] <= 20, grown
    assert grown["objects"] <= 100, grown
    assert grown["megabytes"] <= 8, grown
