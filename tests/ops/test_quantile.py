"""The quantile losses against loops in NumPy, hand-computed numbers and their minimum; risk levels."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl import ops


def naive_loss(target, quantiles, fractions, kappa):
    """Dabney et al. 2018a, equations 9 and 10, row by row."""
    losses = []
    for t, q, tau in zip(target, quantiles, fractions, strict=True):
        total = 0.0
        for i in range(len(q)):
            over_targets = 0.0
            for j in range(len(t)):
                u = t[j] - q[i]
                if kappa == 0.0:
                    huber = abs(u)
                elif abs(u) <= kappa:
                    huber = 0.5 * u * u / kappa
                else:
                    huber = (abs(u) - 0.5 * kappa) * kappa / kappa
                over_targets += abs(tau[i] - (1.0 if u < 0 else 0.0)) * huber
            total += over_targets / len(t)
        losses.append(total)
    return np.array(losses)


@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0, 5.0])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 5), (4, 7), (7, 3)])
def test_the_loss_is_that_of_a_loop(kappa, n, m):
    rng = np.random.default_rng(n + m)
    target, quantiles = rng.normal(size=[6, m]) * 2, rng.normal(size=[6, n])
    fractions = rng.uniform(0.01, 0.99, size=[6, n])
    found = ops.quantile_huber_loss(target, quantiles, fractions, kappa)
    np.testing.assert_allclose(found, naive_loss(target, quantiles, fractions, kappa), rtol=2e-5)


def test_numbers_by_hand():
    """One estimate 0 of the 0.25-quantile; targets 2 and -2: u = 2 and -2, huber = 1.5 each, weights 0.25 and 0.75."""
    loss = ops.quantile_huber_loss([[2.0, -2.0]], [[0.0]], [[0.25]], 1.0)
    np.testing.assert_allclose(loss, [(0.25 * 1.5 + 0.75 * 1.5) / 2])
    # Of a square within kappa: u = 0.5, 0.125 * 0.9.
    np.testing.assert_allclose(ops.quantile_huber_loss([[0.5]], [[0.0]], [[0.9]], 1.0), [0.9 * 0.125], rtol=1e-6)


@pytest.mark.slow
def test_plain_quantile_regression_is_smallest_at_the_quantiles():
    samples = np.random.default_rng(0).exponential(size=4_001).astype(np.float32)
    fractions = np.array([0.1, 0.5, 0.9], np.float32)
    truth = np.quantile(samples, fractions)
    estimate = tf.Variable(np.zeros([1, 3], np.float32))
    for step in range(400):
        with tf.GradientTape() as tape:
            loss = ops.quantile_huber_loss(samples[np.newaxis], estimate, fractions[np.newaxis], 0.0)
        estimate.assign_sub(1.0 / (1 + step / 40) * tape.gradient(loss, estimate))
    np.testing.assert_allclose(estimate.numpy()[0], truth, atol=0.02)


@pytest.mark.parametrize("double", [False, True])
def test_q_learning_is_that_of_a_loop_with_networks_that_differ(double):
    rng = np.random.default_rng(1)
    b, a, n, m = 8, 3, 5, 4
    online, following = rng.normal(size=[b, a, n]), rng.normal(size=[b, a, m])
    other = rng.normal(size=[b, a])
    fractions = rng.uniform(0.05, 0.95, size=[b, n])
    action, reward = rng.integers(a, size=b), rng.normal(size=b)
    discount = np.where(rng.random(b) < 0.3, 0.0, 0.9)
    selector = other if double else following.mean(axis=2)
    found = ops.quantile_q_learning(online, fractions, action, reward, discount, following, selector, 0.7)
    best = [int(np.argmax(row)) for row in selector]
    target = np.array([reward[i] + discount[i] * following[i, best[i]] for i in range(b)])
    chosen = np.array([online[i, action[i]] for i in range(b)])
    np.testing.assert_allclose(found.loss, naive_loss(target, chosen, fractions, 0.7), rtol=2e-5)
    np.testing.assert_allclose(found.target, target.mean(axis=1), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(found.prediction, chosen.mean(axis=1), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(found.td_error, target.mean(axis=1) - chosen.mean(axis=1), rtol=1e-4, atol=1e-5)


def test_only_the_online_quantiles_of_the_action_taken_get_a_gradient():
    rng = np.random.default_rng(2)
    online, following = (tf.Variable(rng.normal(size=[2, 3, 4]).astype(np.float32)) for _ in range(2))
    fractions = tf.Variable(np.full([2, 4], 0.5, np.float32))
    with tf.GradientTape() as tape:
        selector = tf.reduce_mean(following, axis=2)
        loss = ops.quantile_q_learning(online, fractions, [0, 2], [1.0, 0.0], [0.9, 0.9], following, selector).loss
    gradients = tape.gradient(loss, [online, following, fractions], unconnected_gradients="zero")
    assert np.abs(gradients[0].numpy()).sum(axis=2).astype(bool).tolist() == [[True, False, False], [False, False, True]]
    assert not gradients[1].numpy().any()
    assert not gradients[2].numpy().any()


@pytest.mark.parametrize("level", [1e-6, 0.1, 0.25, 0.37, 0.5, 1.0])
def test_the_value_at_risk_is_that_of_the_categorical_distribution_with_these_atoms(level):
    values = np.random.default_rng(3).normal(size=[4, 8])
    found = ops.quantile_value_at_risk(values[np.newaxis], level)[0]
    for row, value in zip(values, found.numpy(), strict=True):
        expected = ops.conditional_value_at_risk(np.full(8, 0.125), np.sort(row), level)
        assert value == pytest.approx(float(expected), rel=1e-4, abs=1e-5)


def test_midpoints():
    np.testing.assert_allclose(ops.quantile_midpoints(4), [0.125, 0.375, 0.625, 0.875])
    with pytest.raises(ValueError, match="num_quantiles=0"):
        ops.quantile_midpoints(0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"target": np.zeros([2, 3])}, "target"),
        ({"quantiles": np.zeros([3, 5])}, "quantiles"),
        ({"fractions": np.full([3, 3], 0.5)}, "fractions"),
    ],
)
def test_shapes_that_would_broadcast_are_refused(given, words):
    plain = {"target": np.zeros([3, 4]), "quantiles": np.zeros([3, 2]), "fractions": np.full([3, 2], 0.5)}
    with pytest.raises(ValueError, match=words):
        ops.quantile_huber_loss(**{**plain, **given})
