"""Discrete states that do not exist, wherever states enter; compiled by XLA a lookup of one gives some other's row."""

from __future__ import annotations

import functools

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Dict, Discrete
from tf_keras import layers
from tf_keras.layers import Layer

from polyrl.demos import DemoEpisode, Demonstrations
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.loops.learner import Learner
from polyrl.models import DQNModel
from polyrl.networks import embedding_mlp
from polyrl.policies import TimeStep
from polyrl.replay import UniformReplay


class Walk(gymnasium.Env):
    """Six discrete states in a row, of which an episode sees the first three only."""

    action_space = Discrete(2)

    def __init__(self, is_dict: bool = False, start: int = 0):
        state = Discrete(6, start=start)
        self.observation_space = Dict({"state": Box(-1.0, 1.0, (2,)), "place": state}) if is_dict else state
        self._is_dict, self._start = is_dict, start

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self._observation(), {}

    def step(self, action):
        self._t += 1
        return self._observation(), float(action), self._t == 2, False, {}

    def _observation(self):
        place = np.int64(self._t + self._start)
        return {"state": np.zeros(2, np.float32), "place": place} if self._is_dict else place


def table_of_places(rows, mode, inputs):
    return layers.Concatenate()([inputs["state"], layers.Embedding(rows, 4)(inputs["place"])])


def trained(folder, graph_fn, env, num_states=6, memory=None, steps=40):
    def model_fn(features, labels, mode):
        return DQNModel(mode, graph_fn, num_states, 2)(features, labels)

    agent = Agent(model_fn, memory or UniformReplay(64, 4), folder, RunConfig(jit="off", progress=False))
    agent.train(env, first_update=8, max_timesteps=steps)
    return agent


@pytest.mark.parametrize("start", [0, 10])
def test_a_table_with_too_few_rows_is_refused_before_a_step(start, tmp_path):
    env = Walk(start=start)
    with pytest.raises(ValueError, match=r"the last of the environment's discrete states, \{'state': 5\}.*num_states of emb"):
        trained(tmp_path, embedding_mlp(3), env)
    assert not hasattr(env, "_t") or env._t == 0


@pytest.mark.slow
def test_a_table_with_too_few_rows_for_one_key_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"discrete states, \{'place': 5\}"):
        trained(tmp_path, functools.partial(table_of_places, 5), Walk(True), (2,))
    trained(tmp_path, functools.partial(table_of_places, 6), Walk(True), (2,))


def test_a_model_for_fewer_states_is_refused(tmp_path):
    with pytest.raises(ValueError, match="indices from 0 to 3, by num_states; got 5"):
        trained(tmp_path, embedding_mlp(6), Walk(), num_states=4)


@pytest.mark.parametrize("state", [6, 100, -1])
def test_demonstrated_states_must_exist(state, tmp_path):
    actions, rewards = np.zeros(2, np.int32), np.zeros(2, np.float32)
    demonstrations = Demonstrations([DemoEpisode(np.array([0, 1, state]), actions, rewards, True, False)])
    with pytest.raises(ValueError, match=f"episode 0 has the state {state}; the environment has 6 discrete states"):
        trained(tmp_path, embedding_mlp(6), Walk(), memory=UniformReplay(64, 4, demonstrations=demonstrations, demo_share=0.5))


@pytest.mark.slow
@pytest.mark.parametrize("start", [0, 10])
def test_an_exported_model_refuses_states_that_do_not_exist(start, tmp_path):
    predictor = trained(tmp_path / "run", embedding_mlp(6), Walk(start=start)).predictor("latest")
    predictor.export(tmp_path / "exported")
    loaded = tf.saved_model.load(str(tmp_path / "exported")).signatures
    seed = tf.constant([1, 2])
    for state in (start, start + 5):
        loaded["action"](observation_state=tf.constant([state]), seed=seed)
    for state in (start - 1, start + 6, 100):
        for name, more in (("action", {"seed": seed}), ("distribution", {})):
            with pytest.raises(tf.errors.InvalidArgumentError, match=f"discrete states from {start} to {start + 5}, got"):
                loaded[name](observation_state=tf.constant([start, state]), **more)


@pytest.mark.slow
def test_a_policy_of_a_model_refuses_states_that_do_not_exist(tmp_path):
    policy = trained(tmp_path, embedding_mlp(6), Walk()).predictor("latest").policy
    policy.action(TimeStep.restart({"state": tf.constant([5])}, 1))
    with pytest.raises(ValueError, match="indices from 0 to 5, by num_states; got 6"):
        policy.action(TimeStep.restart({"state": tf.constant([6])}, 1))


class WithAState(Layer):
    """Counts its calls, which a call too many would show in."""

    def build(self, shape):
        self.table = self.add_weight("table", [6, 4])
        self.calls = self.add_weight("calls", [], tf.int32, initializer="zeros", trainable=False)

    def call(self, state):
        self.calls.assign_add(1)
        return tf.gather(self.table, state)


@pytest.mark.slow
def test_trying_the_last_states_changes_nothing(tmp_path, monkeypatch):
    tried, try_them = [], Learner._try_last_states

    def watched(self, state, num_envs):
        before = [(variable.name, variable.numpy()) for variable in self.scope.variables]
        try_them(self, state, num_envs)
        tried.append((before, [(variable.name, variable.numpy()) for variable in self.scope.variables]))

    monkeypatch.setattr(Learner, "_try_last_states", watched)
    trained(tmp_path, lambda mode, inputs: WithAState()(inputs["state"]), Walk())
    (before, after), *_ = tried
    assert any("calls" in name for name, _ in before)
    for (name, old), (_, new) in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new, err_msg=name)
