"""Agents and environments for the tests of masks of legal actions."""

from __future__ import annotations

import tensorflow as tf
import tf_keras
from masked_envs import MaskedScheduleEnv
from tiny_agents import KINDS, q_model_fn
from tiny_envs import vector

from polyrl.configs import AdamConfig, ConstantExplorationConfig, MeanSquaredErrorConfig
from polyrl.envs import GymEnvironment
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.hooks import Hook
from polyrl.replay import PrioritizedReplay, UniformReplay

GAMMA = 0.9


CADENCES = {"save_summary_timesteps": None, "save_checkpoints_timesteps": None, "max_overhead": None}


def agent_of(path, model_fn, memory=None, seed=0, **config) -> Agent:
    memory = UniformReplay(2_000, 32) if memory is None else memory
    return Agent(model_fn, memory, path, RunConfig(seed=seed, **{"jit": "off", **CADENCES, **config}))


def tempted(kind: str, **arguments):
    settings = {
        "optimizer_config": AdamConfig(0.01),
        "exploration_config": ConstantExplorationConfig(0.5),
        "target_update_frequency": 10,
        "clip_gradients": 10.0,
        "discount": GAMMA,
        **({"max_q_value": 2.0} if kind.startswith("c51") else {"loss_config": MeanSquaredErrorConfig()}),
    }
    return q_model_fn(kind, num_states=1, num_actions=4, **{**settings, **arguments})


def tempting(where: str, num_envs: int = 4) -> GymEnvironment:
    return GymEnvironment("polyrl/TinyTempting-v0", num_envs, where=where)


def with_goal(mode, inputs):
    """A torso that looks at every key."""
    assert inputs.keys() == {"state", "goal", "place"}
    place = tf_keras.layers.Embedding(300, 3)(inputs["place"])
    return tf_keras.layers.Dense(8, "tanh")(tf.concat([inputs["state"] / 10.0, inputs["goal"] / 10.0, place], axis=1))


def scheduled_model_fn(kind: str = "ddqn"):
    model_class, defaults = KINDS[kind]
    exploration = ConstantExplorationConfig(0.4)

    def model_fn(features, labels, mode):
        arguments = {"summaries": "all", "exploration_config": exploration, "target_update_frequency": 5, **defaults}
        return model_class(mode, with_goal, 3, 3, **arguments)(features, labels)

    return model_fn


class Calm(Hook):
    def __init__(self):
        self.actions = []

    def after_act(self, run):
        self.actions.append(run.actions.tolist())


def scheduled(where: str = "info", first: int = 0):
    """Two environments; one gives no mask of terminal states, the episodes of the other are truncated."""
    envs = [MaskedScheduleEnv(0, 4, "terminated", where, final=False, first=first)]
    return vector(*envs, MaskedScheduleEnv(1, 4, "truncated", where, first=first))


def run(path, jit, timesteps, memory=None, kind="ddqn", env=None, **config):
    memory = PrioritizedReplay(200, 8, n_step=3, beta_steps=100) if memory is None else memory
    agent, calm = agent_of(path, scheduled_model_fn(kind), memory, jit=jit, **config), Calm()
    agent.train(scheduled() if env is None else env, first_update=16, update_frequency=2, timesteps=timesteps, hooks=[calm])
    return agent, calm.actions
