"""What a run says at its start of its own resumption: also what cannot be saved."""

from __future__ import annotations

import logging

import gymnasium
import pytest
import tensorflow as tf
import tf_keras
from tiny_agents import make_agent, q_model_fn
from tiny_envs import ScheduleEnv

from polyrl.envs import GymEnvironment
from polyrl.models import DQNModel

BATCH = 4


class Counts(gymnasium.Wrapper):
    """Keeps something from episode to episode, and does not say so."""


class Says(gymnasium.Wrapper):
    def get_checkpoint_state(self):
        return {}

    def set_checkpoint_state(self, state):
        pass


def said(caplog, env, model_fn=None):
    with caplog.at_level(logging.INFO, "polyrl"):
        agent = make_agent(model_fn, save_checkpoints_timesteps=100, check_env=False)
        agent.train(env, first_update=BATCH, timesteps=8)
    (line,) = [text for text in caplog.messages if ("resume" in text and "machine" in text) or "Once resumed" in text]
    return line


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_wrappers_that_may_keep_something_are_named(caplog, mode):
    env = GymEnvironment(lambda: Counts(gymnasium.wrappers.TimeLimit(ScheduleEnv(), 50)), 2, mode)
    line = said(caplog, env)
    assert line.startswith("Exact resume")
    assert "What Counts may keep from episode to episode is not saved" in line


def test_those_that_say_what_they_keep_and_gymnasiums_are_not(caplog):
    line = said(caplog, GymEnvironment(lambda: Says(gymnasium.wrappers.TimeLimit(ScheduleEnv(), 50)), 2))
    assert "may keep" not in line


@pytest.mark.slow
def test_random_numbers_whose_state_cannot_be_saved_are_named(caplog):
    def graph_fn(mode, features):
        x = tf_keras.layers.Dense(8)(features["state"])
        return tf_keras.layers.Lambda(lambda x: x + tf.random.normal(tf.shape(x)))(x)

    def model_fn(features, labels, mode):
        return DQNModel(mode, graph_fn, 4, 3, summaries=[])(features, labels)

    line = said(caplog, ScheduleEnv(), model_fn)
    assert "would not be the same bit for bit" in line
    assert "the networks draw by RandomStandardNormal" in line


@pytest.mark.slow
def test_layers_of_tf_keras_draw_what_is_saved(caplog):
    def graph_fn(mode, features):
        return tf_keras.layers.Dropout(0.5)(tf_keras.layers.Dense(8)(features["state"]))

    def model_fn(features, labels, mode):
        return DQNModel(mode, graph_fn, 4, 3, summaries=[])(features, labels)

    assert said(caplog, ScheduleEnv(), model_fn).startswith("Exact resume")
    caplog.clear()
    assert said(caplog, ScheduleEnv(), q_model_fn()).startswith("Exact resume")
