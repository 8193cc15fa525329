"""What the tests of the explorations share: the configs for each kind of actions, and small models that explore."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from polyrl import explorations
from polyrl.configs import (
    BoltzmannExplorationConfig,
    ConstantExplorationConfig,
    DecayExplorationConfig,
    GreedyExplorationConfig,
    OrnsteinUhlenbeckExplorationConfig,
    RandomDecayExplorationConfig,
    RandomExplorationConfig,
)
from polyrl.models import DQNModel, NAFModel, Scope
from polyrl.networks import mlp
from polyrl.policies import StepType

LOW, HIGH = np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32)

ROWS, K = 2_000, 2

DISCRETE = {
    "constant": (ConstantExplorationConfig(0.3), explorations.EpsilonGreedy, 0.3),
    "greedy": (GreedyExplorationConfig(), explorations.EpsilonGreedy, 0.0),
    "random": (RandomExplorationConfig(), explorations.EpsilonGreedy, 1.0),
    "decay": (DecayExplorationConfig(0.5), explorations.EpsilonGreedy, 0.5),
    "boltzmann": (BoltzmannExplorationConfig(7.0), explorations.Boltzmann, 7.0),
}

CONTINUOUS = {
    "constant": (ConstantExplorationConfig(0.3), explorations.GaussianNoise, 0.3),
    "greedy": (GreedyExplorationConfig(), explorations.GaussianNoise, 0.0),
    "random": (RandomExplorationConfig(), explorations.UniformActions, 1.0),
    "decay": (DecayExplorationConfig(0.5), explorations.GaussianNoise, 0.5),
    "random_decay": (RandomDecayExplorationConfig(0.4), explorations.GaussianNoise, 0.4),
    "ornstein_uhlenbeck": (OrnsteinUhlenbeckExplorationConfig(0.2), explorations.OrnsteinUhlenbeckNoise, 0.2),
}

"""The config, its explorer, and its rate at timestep 0."""

EVERY = [(False, name) for name in DISCRETE] + [(True, name) for name in CONTINUOUS]


def build(continuous, exploration, scope=None, mode="train", **arguments):
    """A small model in a scope."""
    with (Scope() if scope is None else scope).active():
        given = {"exploration_config": exploration, "summaries": [], **arguments}
        if not continuous:
            return DQNModel(mode, mlp([8]), 3, 4, **given)
        return NAFModel(mode, mlp([8]), 3, K, action_low=LOW.tolist(), action_high=HIGH.tolist(), **given)


def states(rows=ROWS, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=[rows, 3]), tf.float32)


def features(is_first=None, rows=ROWS):
    """The same states each time; `is_first` says which are the first of an episode."""
    given = {"state": states(rows)}
    if is_first is not None:
        given["step_type"] = tf.constant(np.where(is_first, StepType.FIRST, StepType.MID), tf.int32)
    return given


def noise_of(predictions):
    """What was added to the greedy action, in units of half the range."""
    return (predictions["results"].numpy() - predictions["mean"].numpy()) / ((HIGH - LOW) / 2)
