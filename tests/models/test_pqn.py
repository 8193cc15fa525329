"""PQN's loss on sequences against a loop in NumPy; runs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tiny_agents import weights

from polyrl.configs import DecayExplorationConfig, HuberLossConfig, MeanSquaredErrorConfig
from polyrl.envs import GymEnvironment
from polyrl.envs.compiled import CartPole
from polyrl.estimators import Agent, RunConfig
from polyrl.models import PQNModel, Scope
from polyrl.networks import mlp
from polyrl.replay import RolloutMemory

S, T = 3, 5


def build(scope, mode="train", **arguments):
    with scope.active():
        given = {"discount": 0.9, "trace_decay": 0.7, "summaries": [], "dueling": None, **arguments}
        return PQNModel(mode, mlp([8], layer_norm=True), 4, 3, **given)


def sequences(seed=0):
    rng = np.random.default_rng(seed)
    state = rng.normal(size=[S, T + 1, 4]).astype(np.float32)
    labels = {
        "action": rng.integers(3, size=[S, T]),
        "reward": rng.normal(size=[S, T]).astype(np.float32),
        "done": (rng.random([S, T]) < 0.2).astype(np.float32),
        "truncated": (rng.random([S, T]) < 0.2).astype(np.float32),
        "next_state": state[:, 1:],
        "valid": np.ones([S, T], np.float32),
    }
    return {"state": tf.constant(state[:, :-1])}, {name: tf.constant(value) for name, value in labels.items()}


def naive(scope, features, labels, trace=0.7, gamma=0.9):
    network = scope.parts["Model/online"]
    losses = np.zeros([S, T])
    for s in range(S):
        after = 0.0
        for t in reversed(range(T)):
            q = network({"state": features["state"][s, t][tf.newaxis]}).q.numpy()[0]
            following = network({"state": labels["next_state"][s, t][tf.newaxis]}).q.numpy()[0].max()
            done, truncated = float(labels["done"][s, t]), float(labels["truncated"][s, t])
            mixed = following if t == T - 1 or truncated else (1 - trace) * following + trace * after
            after = float(labels["reward"][s, t]) + gamma * (1 - done) * mixed
            losses[s, t] = (after - q[int(labels["action"][s, t])]) ** 2
    return losses


def test_the_loss_is_that_of_the_lambda_returns():
    scope = Scope()
    model = build(scope)
    for seed in range(3):
        features, labels = sequences(seed)
        spec = model(features, labels)
        expected = naive(scope, features, labels)
        np.testing.assert_allclose(tf.reshape(spec.predictions["losses"], [S, T]), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(spec.loss, expected.mean(), rtol=1e-4)
        spec.train_op()


def test_steps_that_are_not_valid_count_nothing():
    scope = Scope()
    model = build(scope)
    features, labels = sequences()
    valid = np.ones([S, T], np.float32)
    valid[:, 3:] = 0.0
    truncated = labels["truncated"].numpy()
    truncated[:, 2] = 1.0
    labels = {**labels, "truncated": tf.constant(truncated), "valid": tf.constant(valid)}
    loss = model(features, labels).loss
    expected = naive(scope, features, labels)[:, :3].mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_a_batch_without_sequences_is_of_one_step(batch):
    scope = Scope()
    model = build(scope)
    features, labels = batch()
    spec = model(features, labels)
    network = scope.parts["Model/online"]
    q = network(features).q.numpy()[np.arange(6), labels["action"].numpy()]
    following = network({"state": labels["next_state"]}).q.numpy().max(axis=1)
    target = labels["reward"].numpy() + 0.9 * (1 - labels["done"].numpy()) * following
    np.testing.assert_allclose(spec.predictions["losses"], (target - q) ** 2, rtol=1e-4, atol=1e-6)


def test_windows_of_several_steps_bootstrap_after_the_last_one(batch):
    scope = Scope()
    model = build(scope)
    features, labels = batch()
    reward, nothing = np.arange(18, dtype=np.float32).reshape(6, 3), np.zeros([6, 3], np.float32)
    spec = model(features, {**labels, "reward": tf.constant(reward), "done": nothing, "truncated": nothing})
    network = scope.parts["Model/online"]
    q = network(features).q.numpy()[np.arange(6), labels["action"].numpy()]
    following = network({"state": labels["next_state"]}).q.numpy().max(axis=1)
    target = reward @ [1.0, 0.9, 0.81] + 0.729 * following
    np.testing.assert_allclose(spec.predictions["losses"], (target - q) ** 2, rtol=1e-4)


def test_there_is_neither_a_target_network_nor_huber_by_default():
    scope = Scope()
    model = build(scope)
    model(*sequences())
    assert "Model/target" not in scope.parts
    assert model.loss_config == MeanSquaredErrorConfig()
    assert build(Scope(), loss_config=HuberLossConfig()).loss_config == HuberLossConfig()
    assert build(Scope(), use_target_graph=True).use_target_graph
    with Scope().active():
        by_position = PQNModel("train", mlp([8]), 4, 3, HuberLossConfig(), None, None, 0.9, None, True)
    assert by_position.use_target_graph
    assert by_position.loss_config == HuberLossConfig()


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_a_trace_decay_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match="trace_decay"):
        build(Scope(), trace_decay=value)


def model_fn(features, labels, mode):
    exploration = DecayExplorationConfig(decay_steps=3_000)
    return PQNModel(mode, mlp([16], layer_norm=True), 4, 2, exploration_config=exploration, summaries=["loss"])(
        features, labels
    )


def agent(path, **config):
    settings = {"progress": False, "jit": "off", "save_checkpoints_timesteps": 1_000, "max_overhead": None, **config}
    return Agent(model_fn, RolloutMemory(64, 32), path, RunConfig(**settings))


@pytest.mark.slow
@pytest.mark.parametrize("where", [pytest.param("graph", marks=pytest.mark.slow), "python"])
def test_a_run_that_is_resumed_is_the_run_that_was_not_interrupted(tmp_path, where):
    env = CartPole(num_envs=8) if where == "graph" else GymEnvironment("CartPole-v1", 8)
    schedule = {"first_update": 0, "update_frequency": 64, "updates_at_once": 4}
    whole = agent(tmp_path / "whole")
    whole.train(env, **schedule, max_timesteps=3_000)
    for timesteps in (1_000, 3_000):
        parts = agent(tmp_path / "parts")
        parts.train(env, **schedule, max_timesteps=timesteps)
    for name, values in weights(whole).items():
        np.testing.assert_array_equal(weights(parts)[name], values, err_msg=name)
