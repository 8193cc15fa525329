"""`NAFPolicy`: its actions against numpy, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from naf_testing import BOUNDS, CASES, forward, in_own_units, moments, network_of, spec_of
from policy_testing import COMPILATIONS, FEATURES, HIGH, LOW, ROWS, SPEC, WRAPS, naf, naf_model, steps

from polyrl import ops
from polyrl.policies import BoundedTensorSpec, NAFPolicy, StepType

# Actions ----------------------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(5)
@pytest.mark.parametrize(("k", "compilation"), CASES)
@pytest.mark.parametrize("temperature", [0.0, 0.01, 2.0])
def test_the_actions_are_those_of_numpy(k: int, compilation: str, temperature: float) -> None:
    network, step = network_of(k), steps(rows=50)
    policy = NAFPolicy(SPEC, spec_of(k), network, temperature=temperature)
    noise = ops.normal([50, k], tf.constant([3, 4])).numpy().astype(np.float64)
    mean, triangle = forward(network, step.observation)
    drawn = [mu + math.sqrt(temperature) * np.linalg.solve(L.T, n) for mu, L, n in zip(mean, triangle, noise, strict=True)]
    expected = np.clip(in_own_units(np.array(drawn), k), *BOUNDS[k])
    result = COMPILATIONS[compilation](lambda each, seed: policy.action(each, seed=seed)[:1])(step, tf.constant([3, 4]))[0]
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-3)
    assert ((result.numpy() > BOUNDS[k][0]) & (result.numpy() < BOUNDS[k][1])).any()


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-6])
def test_at_and_near_temperature_zero_the_action_is_the_mean(temperature: float) -> None:
    network = network_of(2)
    policy = naf(network, temperature=temperature)
    expected = np.clip(in_own_units(forward(network, steps().observation)[0], 2), LOW, HIGH)
    np.testing.assert_allclose(policy.action(steps(), seed=0).action, expected, rtol=1e-2, atol=1e-2)


def test_the_default_temperature_is_zero() -> None:
    assert naf().temperature == 0.0
    np.testing.assert_array_equal(naf().action(steps(), seed=0).action, naf().action(steps(), seed=1).action)


@pytest.mark.parametrize("k", BOUNDS)
@pytest.mark.parametrize("temperature", [0.0, 1e6])
def test_actions_stay_within_the_bounds_to_the_last_bit(k: int, temperature: float) -> None:
    policy = NAFPolicy(SPEC, spec_of(k), network_of(k, spread=100.0 if temperature == 0.0 else 0.5), temperature=temperature)
    action = policy.action(steps(rows=400), seed=0).action.numpy()
    low, high = (np.array(bound, np.float32) for bound in BOUNDS[k])
    assert ((action >= low) & (action <= high)).all()
    for bound in (low, high):
        assert (action == bound).any(axis=0).all(), "no action was clipped"


def test_draws_have_the_mean_and_the_covariance_of_numpy() -> None:
    network, rows, temperature = network_of(2), 50_000, 1e-3
    step = steps(rows=1)
    many = step._replace(
        step_type=tf.zeros([rows], tf.int32), reward=tf.zeros([rows]), discount=tf.ones([rows]),
        observation=tf.repeat(step.observation, rows, axis=0),
    )  # fmt: skip
    action = naf(network, temperature=temperature).action(many, seed=0).action.numpy().astype(np.float64)
    (mean,), (covariance,) = moments(network, step.observation, temperature)
    deviation = np.sqrt(np.diag(covariance))
    assert (mean - 6 * deviation > LOW).all()
    assert (mean + 6 * deviation < HIGH).all()
    np.testing.assert_allclose((action.mean(axis=0) - mean) / deviation, [0.0, 0.0], atol=5 / math.sqrt(rows))
    found = np.cov(action.T) / np.outer(deviation, deviation)
    np.testing.assert_allclose(found, covariance / np.outer(deviation, deviation), atol=5 * math.sqrt(2 / rows))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_actions_and_another_seed_others() -> None:
    policy, step = naf(temperature=0.5), steps(rows=100)
    first = policy.action(step, seed=5).action
    for wrap in COMPILATIONS.values():
        found = wrap(lambda each, seed: policy.action(each, seed=seed).action)(step, tf.constant(5, tf.int64))
        np.testing.assert_allclose(found, first, rtol=1e-5, atol=1e-5)
    for seed in (6, None, None):
        assert (policy.action(step, seed=seed).action.numpy() != first.numpy()).any()


@pytest.mark.parametrize("dtype", [tf.float16, tf.float64], ids=lambda dtype: dtype.name)
def test_a_network_of_another_precision_is_accepted(dtype: tf.DType) -> None:
    def network(observation: Any, step_type: Any, network_state: Any) -> Any:
        return (tf.zeros([ROWS, 2], dtype) + 0.5, tf.zeros([ROWS, 3], dtype)), network_state

    for temperature in (0.0, 1e-6):
        action = naf(network, temperature=temperature).action(steps(), seed=0).action
        assert action.dtype == tf.float32
        np.testing.assert_allclose(action, np.broadcast_to(in_own_units(np.array([0.5, 0.5]), 2), [ROWS, 2]), atol=0.05)


# What is refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (BoundedTensorSpec([], tf.float32, -1, 1), r"must be float32 of shape \(k,\)"),
        (BoundedTensorSpec([0], tf.float32, -1, 1), r"must be float32 of shape \(k,\)"),
        (BoundedTensorSpec([2, 2], tf.float32, -1, 1), r"must be float32 of shape \(k,\)"),
        (BoundedTensorSpec([2], tf.float64, -1, 1), r"must be float32 of shape \(k,\)"),
        (BoundedTensorSpec([2], tf.int32, -1, 1), r"must be float32 of shape \(k,\)"),
        (BoundedTensorSpec([2], tf.float32, -np.inf, 1), "must have finite bounds, the minimum below the maximum"),
        (BoundedTensorSpec([2], tf.float32, [-1, 0], [1, 0]), "must have finite bounds, the minimum below the maximum"),
        (BoundedTensorSpec([2], tf.float32, 1.0, 1.0 + 1e-12), "must have finite bounds, the minimum below the maximum"),
        (BoundedTensorSpec([2], tf.float32, -3e38, 3e38), "must have finite bounds, the minimum below the maximum"),
        (BoundedTensorSpec([2], tf.float32, 0, 1e60), "must have finite bounds, the minimum below the maximum"),
    ],
)
def test_an_action_spec_that_does_not_fit_is_refused(spec: BoundedTensorSpec, message: str) -> None:
    with pytest.raises(ValueError, match=f"action_spec=.* {message}"):
        NAFPolicy(SPEC, spec, naf_model())


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ((tf.zeros([ROWS, 3]), tf.zeros([ROWS, 3])), r"a mean of shape \(6, 3\), expected \[B, 2\] by action_spec"),
        ((tf.zeros([ROWS, 2]), tf.zeros([ROWS, 2, 2])), r"a scale of shape \(6, 2, 2\), expected \[B, 3\] by action_spec"),
        ((tf.zeros([ROWS, 2]), tf.zeros([ROWS, 4])), r"a scale of shape \(6, 4\), expected \[B, 3\] by action_spec"),
        (tf.zeros([ROWS, 2]), r"q_network must give \(mean, scale\), got <tf.Tensor"),
        ((tf.zeros([ROWS, 2]),), r"q_network must give \(mean, scale\), got \("),
    ],
)
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("method", ["action", "distribution"])
def test_an_output_that_does_not_fit_is_refused(output: Any, message: str, wrap: Any, method: str) -> None:
    policy = naf(lambda observation, step_type, network_state: (output, network_state))
    message = message.replace("got <tf.Tensor", "got .*Tensor")
    with pytest.raises(ValueError, match=message):
        wrap(lambda step: getattr(policy, method)(step).state)(steps(StepType.MID))


def test_a_splitter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"observation_and_action_constraint_splitter=.* must be None"):
        naf(observation_and_action_constraint_splitter=lambda each: (each, each))


@pytest.mark.parametrize(("temperature", "error"), [(-0.1, ValueError), (float("nan"), ValueError), ("warm", TypeError)])
def test_a_temperature_that_does_not_fit_is_refused(temperature: Any, error: type) -> None:
    with pytest.raises(error, match="temperature="):
        naf(temperature=temperature)


def test_a_network_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="q_network=3 must be callable"):
        naf(3)


def test_a_time_step_that_does_not_match_is_refused() -> None:
    with pytest.raises(ValueError, match=r"time_step.observation has shape"):
        naf().action(steps()._replace(observation=tf.zeros([ROWS, FEATURES + 1])))
