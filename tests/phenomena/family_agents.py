"""An agent of each model of the family that learns tiny environments fast."""

from __future__ import annotations

import tf_keras

from polyrl.configs import AdamConfig, DecayExplorationConfig, GreedyExplorationConfig
from polyrl.estimators import Agent, RunConfig
from polyrl.models import (
    CategoricalDQNModel,
    DQNModel,
    ExpectedSarsaModel,
    IQNModel,
    MunchausenDQNModel,
    MunchausenIQNModel,
    PQNModel,
    QRDQNModel,
    RainbowModel,
)
from polyrl.networks import mlp
from polyrl.replay import PrioritizedReplay, RolloutMemory, UniformReplay

ATOMS = {"num_atoms": 21, "min_q_value": -1.0, "max_q_value": 1.0}
FEW = {"num_samples": 8, "num_policy_samples": 16, "num_cosines": 16}
SOFT = {"entropy_temperature": 0.02}
# By noise alone, without random actions first, 2 of 10 seeds stay at a poor policy.
NOISE = {"noisy": True, "exploration_config": GreedyExplorationConfig(warmup_timesteps=2_000)}
FAMILY = {
    "dqn": (DQNModel, {}),
    "dqn_noisy": (DQNModel, NOISE),
    "c51": (CategoricalDQNModel, ATOMS),
    "qr_dqn": (QRDQNModel, {"num_quantiles": 11}),
    "qr_dqn_double": (QRDQNModel, {"num_quantiles": 11, "double": True}),
    "iqn": (IQNModel, FEW),
    "munchausen_dqn": (MunchausenDQNModel, SOFT),
    "munchausen_iqn": (MunchausenIQNModel, {**SOFT, **FEW}),
    "rainbow": (RainbowModel, ATOMS),
    "expected_sarsa": (ExpectedSarsaModel, {}),
    "pqn": (PQNModel, {"trace_decay": 0.8}),
}


def agent(path, name, states, actions, seed=1, timesteps=6_000, jit="off", target_update_frequency=50, every=None, **more):
    """One that learns fast; as `Agent` and the schedule of its updates."""
    model_class, own = FAMILY[name]
    exploration = DecayExplorationConfig(decay_steps=timesteps // 2, min_exploration_rate=0.02)
    settings = {"exploration_config": exploration, "optimizer_config": AdamConfig(0.003), "clip_gradients": 10.0}
    settings |= {"discount": 0.95, "summaries": [], "dueling": None, **own, **more}
    if model_class is not PQNModel and "target_update_timesteps" not in more:
        settings["target_update_frequency"] = target_update_frequency
    layers_of = mlp([32], noisy=settings.get("noisy", model_class is RainbowModel), layer_norm=model_class is PQNModel)

    def torso(mode, features):
        return layers_of(mode, tf_keras.layers.Flatten()(features["state"]))

    def model_fn(features, labels, mode):
        return model_class(mode, torso, states, actions, **settings)(features, labels)

    if model_class is PQNModel:
        memory, schedule = RolloutMemory(64, 32), {"first_update": 0, "update_frequency": 64, "updates_at_once": 8}
    elif model_class is RainbowModel:
        memory, schedule = PrioritizedReplay(4_000, 32, n_step=3), {"first_update": 100, "update_frequency": 8}
    else:
        memory, schedule = UniformReplay(4_000, 32), {"first_update": 100, "update_frequency": 8}
    saving = {} if every is None else {"save_checkpoints_timesteps": every, "max_overhead": None}
    return Agent(model_fn, memory, path, RunConfig(seed=seed, progress=False, jit=jit, check_env=False, **saving)), schedule
