"""Networks that draw random numbers: dropout and noise of tf-keras, noisy layers, fractions. A resumed run draws the same."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras
from exact_testing import Die, Killed
from tiny_agents import weights

from polyrl.configs import DecayExplorationConfig, GreedyExplorationConfig
from polyrl.envs import GymEnvironment
from polyrl.envs.compiled import CartPole
from polyrl.estimators import Agent, RunConfig
from polyrl.models import DQNModel, IQNModel, MunchausenIQNModel, QRDQNModel, RainbowModel
from polyrl.networks import mlp
from polyrl.replay import PrioritizedReplay

layers = tf_keras.layers
SLOW = pytest.mark.slow


def dropout(mode, features):
    """Dropout that tf-keras switches on in updates, and noise that is there in training wherever the graph runs."""
    x = layers.Dropout(0.3)(layers.Dense(16, "relu")(features["state"]))
    return layers.GaussianNoise(0.1)(layers.Dense(8, "relu")(x), training=mode == "train")


def seeded(mode, features):
    return layers.Dropout(0.3, seed=7)(layers.Dense(8, "relu")(features["state"]))


KINDS = {
    "dropout": (DQNModel, dropout, {}),
    "seeded": (QRDQNModel, seeded, {"num_quantiles": 5}),
    "noisy": (DQNModel, mlp([8], noisy=True), {"noisy": True, "exploration_config": GreedyExplorationConfig()}),
    "rainbow": (RainbowModel, mlp([8], noisy=True), {"num_atoms": 7, "min_q_value": 0.0, "max_q_value": 20.0}),
    "iqn": (IQNModel, mlp([8]), {"num_samples": 4, "num_policy_samples": 4}),
    "munchausen_iqn": (MunchausenIQNModel, mlp([8]), {"num_samples": 4, "num_policy_samples": 4}),
}


def agent(path, kind, jit):
    model_class, graph_fn, own = KINDS[kind]

    def model_fn(features, labels, mode):
        arguments = {"summaries": [], "target_update_frequency": 7, "exploration_config": DecayExplorationConfig(), **own}
        return model_class(mode, graph_fn, 4, 2, **arguments)(features, labels)

    config = RunConfig(seed=3, progress=False, jit=jit, save_checkpoints_timesteps=40, max_overhead=None, check_env=False)
    return Agent(model_fn, PrioritizedReplay(100, 8, n_step=2), path, config)


@pytest.mark.parametrize(
    ("kind", "where", "jit"),
    [
        ("dropout", "sync", "off"),
        *(
            pytest.param(kind, where, jit, marks=SLOW)
            for kind in KINDS
            for where in ("sync", "graph")
            for jit in ("off", "on")
            if (kind, where, jit) != ("dropout", "sync", "off")
        ),
    ],
)
def test_a_run_that_died_is_resumed_as_the_run_that_did_not(tmp_path, kind, where, jit):
    factor = 25 if where == "graph" else 1

    def train(name, timesteps, hooks=()):
        trained = agent(tmp_path / name, kind, jit)
        env = CartPole(num_envs=2) if where == "graph" else GymEnvironment("CartPole-v1", 2)
        trained.train(env, first_update=10, max_timesteps=factor * timesteps, hooks=hooks)
        return weights(trained)

    whole = train("whole", 100)
    with pytest.raises(Killed):
        train("died", 100, [Die(factor * 60)])
    resumed = train("died", 100)
    for name, values in whole.items():
        np.testing.assert_array_equal(resumed[name], values, err_msg=name)
