"""What XLA cannot compile runs without it; what the graph cannot raise is raised by the loop."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from gymnasium.spaces import Discrete
from tiny_agents import q_model_fn
from tiny_envs import ScheduleEnv, vector

from polyrl.envs.actions import action_spec
from polyrl.envs.compiled import CartPole, StepOutput
from polyrl.errors import NonFiniteError
from polyrl.estimators.hooks import Hook
from polyrl.estimators.loops.learner import Learner
from polyrl.estimators.model_fn import bind
from polyrl.models import DQNModel
from polyrl.models.scope import Scope, current_scope
from polyrl.replay import UniformReplay

BATCH = 4


def refused(values):
    """The same values, by an operation that XLA does not know."""
    return tf.strings.to_number(tf.strings.as_string(values))


def acting_model_fn(features, labels, mode):
    """Only what acts cannot be compiled."""
    spec = q_model_fn()(features, labels, mode)
    if labels is None and mode == "train":
        spec.predictions["results"] = tf.cast(refused(tf.cast(spec.predictions["results"], tf.float32)), tf.int32)
    return spec


def assigning_model_fn(features, labels, mode):
    """Acting assigns a variable in a branch."""
    spec = q_model_fn()(features, labels, mode)
    scope = current_scope()
    module = scope.get("calls", tf.Module)
    if not hasattr(module, "count"):
        with tf.init_scope():
            module.count = tf.Variable(0.0, trainable=False, name="count")
    if labels is None and mode == "train":
        tf.cond(features["state"][0, 0] >= 0.0, lambda: module.count.assign_add(1.0), lambda: module.count.read_value())
    return spec


def predicting_model_fn(features, labels, mode):
    """Only predictions and evaluations cannot be compiled."""
    spec = q_model_fn()(features, labels, mode)
    if mode != "train":
        spec.predictions["results"] = tf.cast(refused(tf.cast(spec.predictions["results"], tf.float32)), tf.int32)
    return spec


@pytest.mark.slow
@pytest.mark.parametrize("model_fn", [acting_model_fn, assigning_model_fn])
def test_a_model_that_cannot_be_compiled_where_it_acts_trains_without_xla(agent, model_fn, caplog):
    caplog.set_level(logging.WARNING, "polyrl")
    trained = agent(model_fn, jit="on")
    assert trained.train(ScheduleEnv(), first_update=BATCH, timesteps=12).global_timestep == 12
    assert "without it, slower" in caplog.text


@pytest.mark.slow
def test_a_model_that_cannot_be_compiled_where_it_predicts_is_evaluated_without_xla(agent, caplog):
    caplog.set_level(logging.WARNING, "polyrl")
    trained = agent(predicting_model_fn, jit="on")
    trained.train(ScheduleEnv(), first_update=BATCH, timesteps=8)
    assert "cannot compile" not in caplog.text
    assert np.isfinite(trained.evaluate(ScheduleEnv(), episodes=2)["mean_reward"])
    assert "the model's predictions, which continue without it" in caplog.text


class Seen(Hook):
    """The loss, rate and actions of each iteration."""

    def __init__(self):
        self.losses, self.rates, self.actions = [], [], []

    def after_act(self, run):
        self.losses.append(run.loss)
        self.rates.append(run.exploration_rate)
        self.actions.append(run.actions)


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
@pytest.mark.parametrize("num_envs", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_actions_of_any_integer_type_reach_the_environments_as_they_are(agent, jit, num_envs, tmp_path):
    def wide_model_fn(features, labels, mode):
        spec = q_model_fn()(features, labels, mode)
        spec.predictions["results"] = tf.cast(spec.predictions["results"], tf.int64)
        return spec

    seen = []
    for name, model_fn in (("narrow", q_model_fn()), ("wide", wide_model_fn)):
        seen.append(Seen())
        trained = agent(model_fn, jit=jit, model_dir=tmp_path / name)
        envs = [ScheduleEnv(number) for number in range(num_envs)]
        trained.train(vector(*envs), first_update=BATCH, timesteps=12 * num_envs, hooks=[seen[-1]])
    narrow, wide = seen
    np.testing.assert_array_equal(np.concatenate(narrow.actions), np.concatenate(wide.actions))
    np.testing.assert_array_equal(narrow.losses, wide.losses)
    np.testing.assert_array_equal(narrow.rates, wide.rates)
    assert np.any(np.asarray(narrow.losses) != 0.0)


class Breaking(CartPole):
    """After `steps` steps of an episode it gives what is not finite, as observation or as reward."""

    what, steps, value = "observation", 3, float("nan")

    def step(self, state, action, seed):
        next_state, reward, terminated = super().step(state, action, seed)
        return StepOutput(next_state, self._broken(reward, next_state) if self.what == "reward" else reward, terminated)

    def observe(self, state):
        observation = super().observe(state)
        return self._broken(observation, state) if self.what == "observation" else observation

    def _broken(self, values, state):
        late = tf.abs(super().observe(state)[:, 1]) > 0.5
        late = tf.reshape(late, [-1] + [1] * (values.shape.rank - 1))
        return tf.where(late, self.value, values)


NAN, INF = float("nan"), float("inf")
BREAKING = [
    ("on", NAN, "observation"),
    ("off", INF, "reward"),
    pytest.param("on", NAN, "reward", marks=pytest.mark.slow),
    pytest.param("on", INF, "observation", marks=pytest.mark.slow),
    pytest.param("on", INF, "reward", marks=pytest.mark.slow),
    pytest.param("off", NAN, "observation", marks=pytest.mark.slow),
    pytest.param("off", NAN, "reward", marks=pytest.mark.slow),
    pytest.param("off", INF, "observation", marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize(("jit", "value", "what"), BREAKING)
def test_what_is_not_finite_in_an_environment_in_the_graph_ends_the_run(agent, what, value, jit):
    env = Breaking(2)
    env.what, env.value = what, value
    trained = agent(q_model_fn(num_actions=2), jit=jit)
    with pytest.raises(NonFiniteError, match=f"Environment [01] gave a non-finite {what} at environment step"):
        trained.train(env, first_update=500, timesteps=500)


def test_overlap_is_refused_for_environments_in_the_graph(agent):
    with pytest.raises(ValueError, match="overlap=True: an in-graph environment steps with the learner"):
        agent(q_model_fn(num_actions=2), overlap=True).train(CartPole(), timesteps=8)


@pytest.mark.parametrize("layer", [
    tf_keras.layers.Conv1D, tf_keras.layers.SeparableConv1D, tf_keras.layers.DepthwiseConv1D, tf_keras.layers.Dense
])  # fmt: skip
@pytest.mark.slow
def test_convolutions_keep_xla_out(layer):
    def graph_fn(mode, inputs):
        arguments = (2,) if layer in (tf_keras.layers.DepthwiseConv1D, tf_keras.layers.Dense) else (2, 2)
        return tf_keras.layers.Flatten()(layer(*arguments)(tf_keras.layers.Reshape([4, 1])(inputs["state"])))

    def model_fn(features, labels, mode):
        return DQNModel(mode, graph_fn, 4, 3, summaries=[])(features, labels)

    scope = Scope()
    learner = Learner(bind(model_fn, None, None), scope, UniformReplay(100, BATCH))
    learner.build(tf.TensorSpec([4], tf.float32), 1, action_spec(Discrete(3)))
    assert learner.keeps_out_xla() == (layer is not tf_keras.layers.Dense)
