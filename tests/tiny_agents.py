"""Models and agents small enough for a test, and looks into what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.estimators import Agent, EstimatorSpec, RunConfig
from polyrl.models import BaseQModel, CategoricalDQNModel, DDQNModel, DQNModel, QNetwork
from polyrl.models.scope import current_scope
from polyrl.networks import mlp
from polyrl.replay import UniformReplay

ATOMS = {"num_atoms": 11, "min_q_value": 0.0, "max_q_value": 2.0}
KINDS: dict[str, tuple[type[BaseQModel], dict[str, Any]]] = {
    "dqn": (DQNModel, {}),
    "ddqn": (DDQNModel, {}),
    "c51": (CategoricalDQNModel, ATOMS),
    "c51_double": (CategoricalDQNModel, {**ATOMS, "double": True}),
}


def q_model_fn(kind: str = "dqn", units: int = 8, num_states: int = 4, num_actions: int = 3, **arguments: Any) -> Any:
    """A `model_fn` of one of the four kinds of model, with one hidden layer."""
    model_class, defaults = KINDS[kind]
    given = {"summaries": [], **defaults, **arguments}

    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        return model_class(mode, mlp([units]), num_states, num_actions, **given)(features, labels)

    return model_fn


def counting_model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
    """Learns nothing, counts its updates, and always takes action 0: for what does not depend on the model."""
    scope = current_scope()
    predictions = {"results": tf.zeros_like(features["state"][:, 0], tf.int32)}
    if labels is None:
        return EstimatorSpec(mode, predictions)
    train_op = (lambda: scope.global_step.assign_add(1)) if mode == "train" else None
    return EstimatorSpec(mode, predictions, tf.reduce_mean(labels["reward"]), train_op)


def make_agent(
    model_fn: Any = None,
    *,
    model_dir: Any = None,
    size: int = 1_000,
    batch_size: int = 4,
    params: Any = None,
    **config: Any,
) -> Agent:
    """An agent with a small memory, traced but not compiled, without progress or summaries, checkpoints at the end only."""
    cadences = dict.fromkeys(["save_summary_timesteps", "save_checkpoints_timesteps", "max_overhead"])
    settings = {"jit": "off", "progress": False, **cadences, **config}
    memory = UniformReplay(size, batch_size)
    return Agent(counting_model_fn if model_fn is None else model_fn, memory, model_dir, RunConfig(**settings), params)


def counters(agent: Agent) -> tuple[int, int, int]:
    """Updates, environment steps, episodes."""
    scope = agent._scope
    return tuple(int(counter.numpy()) for counter in (scope.global_step, scope.global_timestep, scope.global_episode))


def weights(agent: Agent) -> dict[str, np.ndarray]:
    """Every number of the agent's models and optimizers by a name that is the same in each agent."""
    found = {}
    for name, part in sorted(agent._scope.parts.items()):
        if isinstance(part, QNetwork):
            found |= {f"{name}/{label}": variable.numpy() for label, variable in part.labelled_variables().items()}
        else:
            values = part.variables() if callable(part.variables) else part.variables
            found |= {f"{name}/{index}": variable.numpy() for index, variable in enumerate(values)}
    return found


def rows(agent: Agent) -> dict[str, np.ndarray]:
    """What the memory holds, column by column, unused room included."""
    return {name: column.numpy() for name, column in agent.memory.columns.items()}


def assert_equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    """The same names and the same bits."""
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def differ(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return any(not np.array_equal(first[name], second[name]) for name in first)
