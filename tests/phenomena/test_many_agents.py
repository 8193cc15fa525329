"""Several agents in one process, as in a sweep or a notebook: no warnings of TensorFlow, and nothing outlives its agent."""

from __future__ import annotations

import gc
import logging
import weakref

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tiny_envs import ScheduleEnv

from polyrl.engine.carried import CarriedState
from polyrl.engine.compiler import Compiler
from polyrl.envs.compiled import CartPole, TensorVectorEnv
from polyrl.estimators import Agent, RunConfig
from polyrl.models import DQNModel, QNetwork, Scope
from polyrl.networks import mlp, recurrent
from polyrl.replay import PrioritizedReplay, SequenceReplay, UniformReplay

ONES = (Compiler, CarriedState, Scope, QNetwork, tf_keras.Model, tf_keras.optimizers.Optimizer, Agent)
"""What an agent makes one of."""
PLAIN = mlp([8])


def use(jit, env, num_actions, memory, torso=PLAIN, **config):
    """Trains, evaluates, predicts and, but for one that remembers, acts."""

    def model_fn(features, labels, mode):
        return DQNModel(mode, torso, 4, num_actions)(features, labels)

    settings = {"progress": False, "save_summary_timesteps": 8, **config}
    agent = Agent(model_fn, memory(100, 4), None, RunConfig(jit=jit, **settings))
    agent.train(env(), max_timesteps=24, first_update=4)
    agent.evaluate(env(), episodes=1)
    next(agent.predict(env(), steps=1))
    if torso is PLAIN:
        agent.act(np.zeros(4, np.float32))


def sequences(size, batch_size):
    return SequenceReplay(size, batch_size, sequence_length=4)


MEMORY = {"torso": recurrent(mlp([8]), 4)}
KINDS = {
    "function": ("off", ScheduleEnv, 3, UniformReplay, {}),
    "xla": ("on", ScheduleEnv, 3, PrioritizedReplay, {}),
    "overlap": ("off", ScheduleEnv, 3, UniformReplay, {"overlap": True}),
    "graph": ("off", CartPole, 2, UniformReplay, {}),
    "recurrent": ("off", CartPole, 2, sequences, MEMORY),
    "recurrent-xla": ("on", CartPole, 2, sequences, MEMORY),
}


@pytest.fixture
def tensorflow_says(caplog):
    tf.get_logger().addHandler(caplog.handler)
    yield caplog
    tf.get_logger().removeHandler(caplog.handler)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["function", *(pytest.param(name, marks=pytest.mark.slow) for name in KINDS if name != "function")]
)
def test_a_sweep_is_quiet_and_leaves_nothing_behind(tensorflow_says, name):
    *kind, config = KINDS[name]
    before = {id(each) for each in gc.get_objects() if isinstance(each, ONES)}
    graphs = []
    for _ in range(5):  # TensorFlow warns of five tracings in a row.
        use(*kind, **config)
        made = [weakref.ref(each) for each in gc.get_objects() if isinstance(each, ONES) and id(each) not in before]
        assert made
        while gc.collect():  # What finalizers let go of is found by the next one.
            pass
        assert not [each() for each in made if each() is not None]
        graphs.append(sum(isinstance(each, tf.Graph) for each in gc.get_objects()))
    assert graphs == [graphs[0]] * 5  # The first agent finds none of those that TensorFlow has for all.
    assert not [record.getMessage() for record in tensorflow_says.records if record.levelno >= logging.WARNING]


@pytest.mark.slow
def test_environments_in_the_graph_may_be_many(tensorflow_says):
    for num_envs in range(1, 7):
        env = TensorVectorEnv(CartPole(), num_envs)
        env.reset(seed=0)
        env.step(np.zeros([num_envs], np.int64))
    assert "retracing" not in tensorflow_says.text
