"""Recurrent models against a walk through each sequence, one step at a time, of online and target networks that differ."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from recurrent_testing import GAMMA, S, T, build, sequences, walk

from polyrl.configs import HuberLossConfig
from polyrl.models import MunchausenDQNModel, PQNModel, R2D2Model, Scope


def moved(scope, features, labels, model):
    """After an update, with a target network that differs, also in the best actions."""
    spec = model(features, labels)
    spec.train_op()
    rng = np.random.default_rng(7)
    for variable in scope.parts["Model/target"].model.trainable_variables:
        variable.assign(variable * 0.9 + rng.normal(scale=0.3, size=variable.shape).astype(np.float32))
    (_, online, _), (_, target, _) = (walk(scope.parts[f"Model/{role}"], features, labels) for role in ("online", "target"))
    assert (online.argmax(axis=-1) != target.argmax(axis=-1)).any()


def taken(values, action):
    return np.take_along_axis(values, np.asarray(action)[..., np.newaxis], axis=-1)[..., 0]


def huber(target, prediction):
    error = np.abs(target - prediction)
    return np.where(error <= 1.0, 0.5 * error**2, error - 0.5)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_the_loss_of_dqn_is_that_of_a_walk_through_the_sequences(double, seed):
    scope = Scope()
    model = build(scope, double=double)
    features, labels = sequences(seed)
    moved(scope, features, labels, model)
    q, chosen_by, _ = walk(scope.parts["Model/online"], features, labels)
    _, following, _ = walk(scope.parts["Model/target"], features, labels)
    action = np.argmax(chosen_by if double else following, axis=-1)
    target = labels["reward"] + GAMMA * (1 - labels["done"]) * taken(following, action)
    spec = model(features, labels)
    expected = huber(target.numpy(), taken(q, labels["action"]))
    np.testing.assert_allclose(tf.reshape(spec.predictions["losses"], [S, T]), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(spec.loss, expected.mean(), rtol=1e-4)


def test_burn_in_is_walked_through_but_not_learned_from():
    scope, burn_in = Scope(), 2
    model = build(scope, burn_in=burn_in)
    features, labels = sequences()
    moved(scope, features, labels, model)
    q, _, _ = walk(scope.parts["Model/online"], features, labels)
    _, following, _ = walk(scope.parts["Model/target"], features, labels)
    target = labels["reward"] + GAMMA * (1 - labels["done"]) * following.max(axis=-1)
    expected = huber(target.numpy(), taken(q, labels["action"]))[:, burn_in:]
    spec = model(features, labels)
    np.testing.assert_allclose(spec.loss, expected.mean(), rtol=1e-4)
    priorities = tf.reshape(spec.extra_ops["priorities"], [S, T]).numpy()
    assert (priorities[:, :burn_in] == 0).all()
    np.testing.assert_allclose(priorities[:, burn_in:], np.abs(target - taken(q, labels["action"]))[:, burn_in:], rtol=1e-3)


@pytest.mark.slow
def test_no_gradient_comes_from_the_burn_in():
    """The gradients are those of the other steps alone, which begin with what is remembered after the burn-in."""
    start, scope = 2, Scope()
    features, labels = sequences(ends=0.0)
    whole, rest = (build(scope, burn_in=steps, use_target_graph=False) for steps in (start, 0))
    whole(features, labels)
    _, _, after = walk(scope.parts["Model/online"], features, labels)
    part = {"state": features["state"][:, start:], "network_state": tf.constant(after[:, start - 1])}
    online, gradients = scope.parts["Model/online"].model.trainable_variables, []
    for model, batch in ((whole, (features, labels)), (rest, (part, {name: x[:, start:] for name, x in labels.items()}))):
        with tf.GradientTape() as tape:
            loss = model(*batch).loss
        gradients.append([loss, *tape.gradient(loss, online)])
    for first, second in zip(*gradients, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("window", [pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(6, marks=pytest.mark.slow)])
def test_windows_of_several_steps_remember_what_they_saw(window):
    """The next state of a window is seen after all of its steps."""
    scope = Scope()
    model = build(scope)
    features, labels = sequences(1)
    moved(scope, features, labels, model)
    q, _, _ = walk(scope.parts["Model/online"], features, labels)
    _, following, _ = walk(scope.parts["Model/target"], features, labels)
    single = {name: value.numpy() for name, value in labels.items()}
    rows = {name: np.zeros([S, T, window], np.float32) for name in ("reward", "done", "truncated")}
    next_state, target = np.zeros([S, T, 4], np.float32), np.zeros([S, T])
    for s in range(S):
        for t in range(T):
            for k in range(window):
                at = min(t + k, T - 1)
                for name in rows:
                    rows[name][s, t, k] = single[name][s, at]
                rows["truncated"][s, t, k] = max(rows["truncated"][s, t, k], float(t + k >= T - 1))
            last, total = t, 0.0
            for k in range(window):
                last, total = t + k, total + GAMMA**k * single["reward"][s, t + k]
                if single["done"][s, last] or single["truncated"][s, last] or last == T - 1:
                    break
            next_state[s, t] = single["next_state"][s, last]
            bootstrap = (1 - single["done"][s, last]) * following[s, last].max()
            target[s, t] = total + GAMMA ** (last - t + 1) * bootstrap
    spec = model(features, {**labels, **rows, "next_state": tf.constant(next_state)})
    expected = huber(target, taken(q, labels["action"]))
    np.testing.assert_allclose(tf.reshape(spec.predictions["losses"], [S, T]), expected, rtol=1e-4, atol=1e-5)


def test_steps_that_are_not_valid_count_nothing():
    scope = Scope()
    model = build(scope)
    features, labels = sequences()
    moved(scope, features, labels, model)
    valid = np.ones([S, T], np.float32)
    valid[1, 3:] = 0.0
    losses = tf.reshape(model(features, labels).predictions["losses"], [S, T]).numpy()
    loss = model(features, {**labels, "valid": tf.constant(valid)}).loss
    np.testing.assert_allclose(loss, losses[valid > 0].mean(), rtol=1e-5)


def test_r2d2_learns_rescaled_values():
    scope, slope = Scope(), 1e-2
    model = build(scope, R2D2Model, rescaling_slope=slope)
    features, labels = sequences(2)
    labels["reward"] *= 30.0
    moved(scope, features, labels, model)
    q, chosen_by, _ = walk(scope.parts["Model/online"], features, labels)
    _, following, _ = walk(scope.parts["Model/target"], features, labels)
    squeezed = taken(following, np.argmax(chosen_by, axis=-1))
    found = np.array([invert(value, slope) for value in squeezed.ravel()]).reshape([S, T])
    target = h(labels["reward"].numpy() + GAMMA * (1 - labels["done"].numpy()) * found, slope)
    expected = (target - taken(q, labels["action"])) ** 2
    losses = model(features, labels).predictions["losses"]
    np.testing.assert_allclose(tf.reshape(losses, [S, T]), expected, rtol=1e-3, atol=1e-5)
    assert model.double


def h(x, slope):
    return np.sign(x) * (np.sqrt(np.abs(x) + 1) - 1) + slope * x


def invert(y, slope):
    """By bisection."""
    low, high = -1e6, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if h(middle, slope) < y else (low, middle)
    return (low + high) / 2


@pytest.mark.slow
def test_a_munchausen_reward_is_that_of_the_target_network_where_it_is_in_the_sequence():
    scope = Scope()
    soft = {"entropy_temperature": 0.3, "munchausen_scale": 0.8, "log_policy_minimum": -0.5}
    model = build(scope, MunchausenDQNModel, **soft)
    features, labels = sequences(3)
    moved(scope, features, labels, model)
    q, _, _ = walk(scope.parts["Model/online"], features, labels)
    own, following, _ = walk(scope.parts["Model/target"], features, labels)

    def log_softmax(values):
        scaled = values / 0.3
        return (
            scaled
            - np.log(np.exp(scaled - scaled.max(-1, keepdims=True)).sum(-1, keepdims=True))
            - scaled.max(-1, keepdims=True)
        )

    bonus = 0.8 * np.clip(0.3 * taken(log_softmax(own), labels["action"]), -0.5, 0.0)
    policy = np.exp(log_softmax(following))
    soft_value = (policy * (following - 0.3 * log_softmax(following))).sum(-1)
    target = labels["reward"].numpy() + bonus + GAMMA * (1 - labels["done"].numpy()) * soft_value
    losses = model(features, labels).predictions["losses"]
    np.testing.assert_allclose(tf.reshape(losses, [S, T]), huber(target, taken(q, labels["action"])), rtol=1e-3, atol=1e-5)


def test_pqn_walks_through_sequences_too():
    scope = Scope()
    model = build(scope, PQNModel, trace_decay=0.7, loss_config=HuberLossConfig())
    features, labels = sequences(4)
    model(features, labels)
    q, following, _ = walk(scope.parts["Model/online"], features, labels)
    single, target = {name: value.numpy() for name, value in labels.items()}, np.zeros([S, T])
    for s in range(S):
        later = 0.0
        for t in reversed(range(T)):
            best = following[s, t].max()
            mixed = best if t == T - 1 or single["truncated"][s, t] else 0.3 * best + 0.7 * later
            later = target[s, t] = single["reward"][s, t] + GAMMA * (1 - single["done"][s, t]) * mixed
    losses = model(features, labels).predictions["losses"]
    np.testing.assert_allclose(tf.reshape(losses, [S, T]), huber(target, taken(q, labels["action"])), rtol=1e-3, atol=1e-5)
