"""Runs with continuous actions, small enough for a test."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_envs import TargetEnv, vector

from polyrl.configs import (
    OrnsteinUhlenbeckExplorationConfig,
)
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.hooks import Hook
from polyrl.models import NAFModel
from polyrl.networks import mlp
from polyrl.replay import UniformReplay

BATCH, LENGTH = 8, 4


PROCESS = OrnsteinUhlenbeckExplorationConfig(sigma=0.3)


SLOW = pytest.mark.slow


OFF = {"save_summary_timesteps": None, "save_checkpoints_timesteps": None, "max_overhead": None}


def naf_fn(units=8, **arguments):
    """A `model_fn` of NAF for a `TargetEnv`."""
    given = {"summaries": [], "action_low": TargetEnv.LOW, "action_high": TargetEnv.HIGH, **arguments}

    def model_fn(features, labels, mode):
        return NAFModel(mode, mlp([units]), 3, 2, **given)(features, labels)

    return model_fn


class Look(Hook):
    """The counters, the actions and the rates of each iteration."""

    def __init__(self):
        self.counters, self.actions, self.rates = [], [], []

    def after_act(self, run):
        self.counters.append((run.step, run.timestep, run.episode))
        self.actions.append(np.array(run.actions))
        self.rates.append(run.exploration_rate)


def targets(num_envs=2, length=LENGTH):
    """The second one's episodes are truncated; the others end."""
    return vector(*(TargetEnv(length, limit=number == 1) for number in range(num_envs)))


def run(path, model_fn, env=None, memory=None, timesteps=200, hooks=(), **config):
    memory = UniformReplay(100, BATCH) if memory is None else memory
    agent = Agent(model_fn, memory, path, RunConfig(**{"jit": "off", **OFF, **config}))
    look = Look()
    env = targets() if env is None else env
    agent.train(env, first_update=memory.batch_size, update_frequency=2, timesteps=timesteps, hooks=[*hooks, look])
    return agent, look
