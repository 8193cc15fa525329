"""The distribution over continuous actions, and its density, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from naf_testing import CASES, forward, in_own_units, log_density, moments, network_of, spec_of
from policy_testing import COMPILATIONS, HIGH, LOW, ROWS, SPEC, naf, steps

from polyrl.policies import NAFPolicy


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(("k", "compilation"), CASES)
@pytest.mark.parametrize("temperature", [0.01, 2.0])
def test_the_distribution_is_that_of_numpy_before_clipping(k: int, compilation: str, temperature: float) -> None:
    network = network_of(k)
    policy = NAFPolicy(SPEC, spec_of(k), network, temperature=temperature)
    mean, covariance = moments(network, steps().observation, temperature)
    deviation = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    at = (mean + np.random.default_rng(0).normal(size=mean.shape) * deviation).astype(np.float32)

    def describe(step: Any) -> Any:
        distribution = policy.distribution(step).action
        return distribution.mean(), distribution.covariance(), distribution.log_prob(at)

    found_mean, found_covariance, density = COMPILATIONS[compilation](describe)(steps())
    np.testing.assert_allclose((found_mean - mean) / deviation, np.zeros([ROWS, k]), atol=1e-3)
    products = deviation[:, np.newaxis] * deviation[..., np.newaxis]
    np.testing.assert_allclose(found_covariance / products, covariance / products, atol=1e-3)
    np.testing.assert_allclose(density, log_density(at, mean, covariance), atol=2e-2)
    distribution = policy.distribution(steps()).action
    assert isinstance(distribution, tfp.distributions.Distribution)
    assert (distribution.batch_shape, distribution.event_shape, distribution.dtype) == ((ROWS,), (k,), tf.float32)
    assert distribution.sample(7, seed=1).shape == (7, ROWS, k)


@pytest.mark.parametrize("temperature", [0.0, 1e-300])
def test_at_temperature_zero_the_distribution_is_deterministic_and_not_clipped(temperature: float) -> None:
    network = network_of(2, spread=3.0)
    distribution = naf(network, temperature=temperature).distribution(steps()).action
    assert isinstance(distribution, tfp.distributions.VectorDeterministic)
    expected = in_own_units(forward(network, steps().observation)[0], 2)
    assert (expected > HIGH).any()
    np.testing.assert_allclose(distribution.sample(), expected, rtol=1e-4)


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("wrap", COMPILATIONS.values(), ids=COMPILATIONS)
@pytest.mark.parametrize("temperature", [1e-4, 1.0])
def test_the_log_probability_is_the_density_at_the_action(wrap: Any, temperature: float) -> None:
    network = network_of(2)
    policy = naf(network, temperature=temperature, emit_log_probability=True)
    step = steps(rows=100)
    action, _, info = wrap(lambda each: tuple(policy.action(each, seed=5)))(step)
    clipped = ((action.numpy() == np.float32(LOW)) | (action.numpy() == np.float32(HIGH))).any(axis=1)
    assert clipped.any() or temperature < 1.0
    assert not clipped.all()
    expected = log_density(action, *moments(network, step.observation, temperature))
    np.testing.assert_allclose(info.log_probability, expected, rtol=5e-3, atol=5e-2)
    found = policy.distribution(step).action.log_prob(action)
    np.testing.assert_allclose(info.log_probability, found, rtol=1e-3, atol=1e-3)
