"""Short runs of a model through an `Agent`, and what they did."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
import tensorflow as tf
from tiny_envs import ScheduleEnv

from polyrl.configs import SGDConfig
from polyrl.estimators import Agent, RunConfig, TrainingResult
from polyrl.estimators.hooks import Hook
from polyrl.models import BaseQModel, CategoricalDQNModel
from polyrl.networks import mlp
from polyrl.replay import Replay, UniformReplay
from polyrl.summaries import Summaries

FIRST, TIMESTEPS, UPDATES = 8, 24, 16
STATES, ACTIONS = 4, ScheduleEnv.NUM_ACTIONS
ATOMS = {"num_atoms": 5, "min_q_value": -1.0, "max_q_value": 1.0}
SOME_STATES = np.random.default_rng(0).normal(size=[10, STATES]).astype(np.float32)


class Recorded(gymnasium.Wrapper):
    """Notes the actions that are taken."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self.actions: list[int] = []

    def step(self, action):
        self.actions.append(int(action))
        return super().step(action)


class Panels(Hook):
    """Notes the panels of the last update."""

    def __init__(self) -> None:
        self.summaries = Summaries.empty()

    def begin(self, run):
        run.request_summaries()

    after_update = begin

    def after_summaries(self, run, summaries):
        self.summaries = summaries


class Run(NamedTuple):
    """A short run: the actions taken in training and in evaluation, and those of `Agent.act` for `SOME_STATES`."""

    agent: Agent
    result: TrainingResult
    panels: Summaries
    trained: list[int]
    evaluated: list[int]
    evaluation: dict[str, float]
    inferred: list[int]

    def network(self, role: str = "online") -> Any:
        return self.agent._scope.parts[f"Model/{role}"]

    def weights(self, role: str = "online") -> list[np.ndarray]:
        return [variable.numpy() for variable in self.network(role).model.trainable_variables]


def run(
    model_class: type[BaseQModel],
    jit: str = "off",
    memory: Replay | None = None,
    envs: tuple[gymnasium.Env, gymnasium.Env] | None = None,
    num_states: int = STATES,
    graph_fn: Any = None,
    states: Any = SOME_STATES,
    **arguments: Any,
) -> Run:
    """Trains for `UPDATES` updates, evaluates and infers."""
    atoms = ATOMS if issubclass(model_class, CategoricalDQNModel) else {}
    common = {"summaries": ["loss", "gradients"], "clip_gradients": None, "optimizer_config": SGDConfig(0.01)}
    given = {**common, **atoms, **arguments}

    def model_fn(features, labels, mode):
        return model_class(mode, graph_fn or mlp([8]), num_states, ACTIONS, **given)(features, labels)

    env, other = (Recorded(env) for env in envs or (ScheduleEnv(), ScheduleEnv(number=1, lengths=[2])))
    agent = Agent(model_fn, memory or UniformReplay(100, 4), config=RunConfig(jit=jit, progress=False))
    panels = Panels()
    result = agent.train(env, first_update=FIRST, timesteps=TIMESTEPS, hooks=[panels])
    assert result.global_step == UPDATES
    assert np.isfinite(list(panels.summaries.scalars.values())).all()
    evaluation = agent.evaluate(other, episodes=4)
    return Run(agent, result, panels.summaries, env.actions, other.actions, evaluation, agent.act(states).tolist())


def subclass(parent: type[BaseQModel], **methods: Any) -> type[BaseQModel]:
    return type("Overriding", (parent,), methods)


def ones(mode: str, inputs: Any) -> tf.Tensor:
    """A torso that says nothing of the state: what is learned is the same for all."""
    return tf.ones_like(inputs["state"])


def greedy(run: Run, states: np.ndarray = SOME_STATES) -> list[int]:
    """What the values of the trained network say."""
    return np.argmax(run.network()({"state": tf.constant(states)}).q, axis=1).tolist()
