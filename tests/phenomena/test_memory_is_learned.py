"""Recurrent models say in the last state what was shown in the first one; without memory nobody can."""

from __future__ import annotations

import pytest

from polyrl.configs import AdamConfig, DecayExplorationConfig
from polyrl.envs.compiled import MemoryChain
from polyrl.estimators import Agent, RunConfig
from polyrl.models import CategoricalDQNModel, DQNModel, IQNModel, MunchausenDQNModel, PQNModel, QRDQNModel, R2D2Model
from polyrl.networks import mlp, recurrent
from polyrl.replay import PrioritizedSequenceReplay, RolloutMemory, SequenceReplay

SLOW = pytest.mark.slow
ATOMS = {"num_atoms": 21, "min_q_value": -1.5, "max_q_value": 1.5}
KINDS = {
    "dqn": (DQNModel, "lstm", {}),
    "dqn_zero_state": (DQNModel, "gru", {}),
    "r2d2": (R2D2Model, "lstm", {"burn_in": 2}),
    "c51": (CategoricalDQNModel, "lstm", ATOMS),
    "qr_dqn": (QRDQNModel, "lstm", {"num_quantiles": 11}),
    "iqn": (IQNModel, "gru", {"num_samples": 8, "num_policy_samples": 16, "num_cosines": 16}),
    "munchausen_dqn": (MunchausenDQNModel, "gru", {"entropy_temperature": 0.02}),
    "pqn": (PQNModel, "gru", {"trace_decay": 0.9}),
}
RUNS = [
    pytest.param(name, seed, marks=() if name in ("dqn", "r2d2") and seed == 1 else SLOW)
    for name in KINDS
    for seed in (1, 2, 3)
]


def score(path, name, seed, torso, jit="off", timesteps=8_000):
    """The mean reward of 60 episodes after training."""
    model_class, _, own = KINDS[name]
    exploration = DecayExplorationConfig(decay_steps=timesteps // 2, min_exploration_rate=0.02)
    settings = {"exploration_config": exploration, "optimizer_config": AdamConfig(0.005), "clip_gradients": 10.0}
    settings |= {"discount": 0.95, "summaries": [], "dueling": None, **own}
    if model_class is not PQNModel:
        settings["target_update_frequency"] = 50

    def model_fn(features, labels, mode):
        return model_class(mode, torso, 3, 2, **settings)(features, labels)

    schedule = {"first_update": 200, "update_frequency": 8}
    memory = SequenceReplay(4_000, 128, sequence_length=8, stored_state=name != "dqn_zero_state")
    if name == "r2d2":
        memory = PrioritizedSequenceReplay(4_000, 128, sequence_length=8, n_step=2)
    elif name == "pqn":
        memory, schedule = RolloutMemory(128, 64), {"first_update": 0, "update_frequency": 128, "updates_at_once": 8}
    agent = Agent(model_fn, memory, path, RunConfig(seed=seed, progress=False, jit=jit))
    agent.train(MemoryChain(num_envs=8), **schedule, timesteps=timesteps)
    return agent.evaluate(MemoryChain(num_envs=8), 60)["mean_reward"]


@pytest.mark.parametrize(("name", "seed"), RUNS)
def test_what_was_shown_is_remembered(tmp_path, name, seed):
    timesteps = {"pqn": 48_000, "c51": 16_000}.get(name, 8_000)
    assert score(tmp_path, name, seed, recurrent(mlp([16]), 16, KINDS[name][1]), timesteps=timesteps) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_it_is_learned_with_xla(tmp_path, cell):
    assert score(tmp_path, "r2d2", 1, recurrent(mlp([16]), 16, cell), jit="on") == 1.0


@pytest.mark.slow
def test_without_memory_it_is_a_guess(tmp_path):
    assert abs(score(tmp_path, "dqn", 1, mlp([16]), timesteps=2_000)) < 0.5
