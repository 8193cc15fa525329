"""Targets that weigh all next actions, against loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl import ops

RNG = np.random.default_rng(0)
Q = RNG.normal(size=[6, 3])
LOWEST = np.finfo(np.float32).min


def softmax(q, temperature):
    """In float64, from the definition."""
    powers = np.exp((q - q.max()) / temperature)
    return powers / powers.sum()


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_the_value_of_acting_epsilon_greedily(epsilon):
    found = ops.epsilon_greedy_value(Q, epsilon)
    for row, value in zip(Q, found.numpy(), strict=True):
        probabilities = np.full(3, epsilon / 3)
        probabilities[np.argmax(row)] += 1 - epsilon
        assert value == pytest.approx(float(probabilities @ row), rel=1e-5)


def test_illegal_actions_have_no_part_in_it():
    mask = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
    q = np.where(mask, Q[:3], LOWEST)  # As `Forward` has them.
    found = ops.epsilon_greedy_value(q, 0.5, mask).numpy()
    first = Q[0, :2]
    assert found[0] == pytest.approx(0.5 * first.max() + 0.5 * first.mean(), rel=1e-5)
    assert found[1] == pytest.approx(Q[1, 1], rel=1e-5)
    assert found[2] == 0.0


@pytest.mark.parametrize("temperature", [0.03, 0.5, 10.0])
def test_the_soft_policy_is_the_softmax_and_its_scaled_logarithm(temperature):
    policy = ops.soft_policy(Q, temperature)
    for row, probabilities, scaled in zip(Q, policy.probabilities.numpy(), policy.scaled_log.numpy(), strict=True):
        expected = softmax(row, temperature)
        np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-7)
        exact = row - row.max() - temperature * np.log(np.exp((row - row.max()) / temperature).sum())
        np.testing.assert_allclose(scaled, exact, rtol=1e-4, atol=1e-6)


def test_large_values_and_a_small_temperature_do_not_overflow():
    policy = ops.soft_policy([[1e6, -1e6, 1e6]], 1e-3)
    np.testing.assert_allclose(policy.probabilities, [[0.5, 0.0, 0.5]])
    assert np.isfinite(policy.scaled_log).all()


@pytest.mark.parametrize("action", [0, 1, 2])
def test_the_munchausen_reward(action):
    temperature, scale, lowest = 0.4, 0.7, -0.5
    found = ops.munchausen_reward(Q, np.full(6, action), temperature, scale, lowest)
    for row, value in zip(Q, found.numpy(), strict=True):
        log = temperature * np.log(softmax(row, temperature)[action])
        assert value == pytest.approx(scale * np.clip(log, lowest, 0.0), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("quantiles", [False, True])
def test_the_soft_bootstrap(quantiles):
    temperature = 0.4
    samples = RNG.normal(size=[6, 3, 5])
    found = ops.soft_bootstrap(Q, temperature, samples if quantiles else None).numpy()
    for index, row in enumerate(Q):
        policy = softmax(row, temperature)
        if quantiles:
            expected = sum(policy[a] * (samples[index, a] - temperature * np.log(policy[a])) for a in range(3))
        else:
            expected = sum(policy[a] * (row[a] - temperature * np.log(policy[a])) for a in range(3))
        np.testing.assert_allclose(found[index], expected, rtol=1e-4, atol=1e-6)


def test_the_soft_bootstrap_of_values_is_the_scaled_logarithm_of_the_sum_of_exponentials():
    expected = 0.4 * np.log(np.exp(Q / 0.4).sum(axis=1))
    np.testing.assert_allclose(ops.soft_bootstrap(Q, 0.4), expected, rtol=1e-5)


def test_an_illegal_action_weighs_nothing_in_the_bootstrap():
    masked = Q.astype(np.float32)
    masked[:, 1] = LOWEST
    np.testing.assert_allclose(ops.soft_bootstrap(masked, 0.4), ops.soft_bootstrap(Q[:, [0, 2]], 0.4), rtol=1e-5)
    samples = RNG.normal(size=[6, 3, 5])
    found = ops.soft_bootstrap(masked, 0.4, samples)
    np.testing.assert_allclose(found, ops.soft_bootstrap(Q[:, [0, 2]], 0.4, samples[:, [0, 2]]), rtol=1e-5, atol=1e-6)


def test_no_gradient_flows_into_the_target():
    q = tf.Variable(Q.astype(np.float32))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(ops.soft_bootstrap(q, 0.1)) + tf.reduce_sum(ops.munchausen_reward(q, [0] * 6))
    assert tape.gradient(total, q) is None


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        ops.soft_policy(Q, temperature)
