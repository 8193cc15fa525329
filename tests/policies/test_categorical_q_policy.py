"""`CategoricalQPolicy`: its support, the distributions over returns, and choice by their risk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import (
    ACTION,
    ATOMS,
    COMPILATIONS,
    ROWS,
    SPEC,
    Logits,
    atoms_model,
    categorical,
    probabilities,
    q_model,
    steps,
)
from value_testing import SUPPORT, Table, make, of_output, probabilities_of, random_output, steps_of

from polyrl.policies import CategoricalQPolicy


def test_the_expected_value_by_hand() -> None:
    # Atoms -2, -0.75, 0.5, 1.75, 3. Action 0: half on each end, mean 0.5. Action 1: all on the last, 3.
    # Action 2: even, the middle 0.5. So action 1 leads by 2.5 and at temperature 2.5 is e times as probable.
    far = -1e9
    output = np.array([[[0.0, far, far, far, 0.0], [far, far, far, far, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0]]])
    policy = of_output(CategoricalQPolicy, output, temperature=2.5)
    expected = np.array([[1.0, np.e, 1.0]]) / (2 + np.e)
    np.testing.assert_allclose(probabilities_of(policy, 1), expected, rtol=1e-5)
    np.testing.assert_allclose(policy.support, SUPPORT, rtol=1e-6)


@pytest.mark.parametrize("network", [lambda *_: None, q_model()], ids=["callable", "keras"])
def test_a_network_without_num_atoms_is_refused(network: Any) -> None:
    with pytest.raises(ValueError, match=r"q_network=.* must have the attribute num_atoms"):
        categorical(network)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0)])
def test_a_support_that_does_not_rise_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match=f"min_q_value={low} must be below max_q_value={high}"):
        CategoricalQPolicy(SPEC, ACTION, atoms_model(), low, high)


@pytest.mark.parametrize("name", ["min_q_value", "max_q_value"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_support_that_is_not_finite_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}="):
        make(CategoricalQPolicy, atoms_model(), **{name: value})


@pytest.mark.parametrize(("low", "high"), [(-1.8e38, 1.8e38), (-1e39, 1.0), (1.0, 1.0 + 1e-9)])
def test_a_support_beyond_float32_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match=r"num_atoms=5 atoms from .* are not finite, or too close together for float32"):
        CategoricalQPolicy(SPEC, ACTION, atoms_model(), low, high)


def test_an_output_of_another_number_of_atoms_is_refused() -> None:
    policy = make(CategoricalQPolicy, Table(random_output(CategoricalQPolicy), ATOMS + 1))
    with pytest.raises(ValueError, match=rf"shape \(6, 3, {ATOMS}\), expected \[B, 3, {ATOMS + 1}\]"):
        policy.action(steps_of(6))


def test_an_output_of_action_values_is_refused_where_logits_are_expected() -> None:
    with pytest.raises(ValueError, match=r"q_network gives logits of shape \(6, 3\), expected \[B, 3, 5\]"):
        of_output(CategoricalQPolicy, random_output(CategoricalQPolicy)[..., 0]).action(steps_of(6))


def test_the_distribution_over_returns() -> None:
    policy = categorical()
    atoms, found = policy.value_distribution(steps())
    logits = policy._q_network.logits.numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(atoms, [-2.0, -1.0, 0.0, 1.0, 2.0])
    np.testing.assert_allclose(found, np.repeat(expected[np.newaxis], ROWS, axis=0), rtol=1e-5)


def test_a_cautious_policy_prefers_the_smaller_risk() -> None:
    far = -40.0
    # Action 0: sure to give 0. Action 1: half -2, half 2.  Action 2: a tenth -1, else 1.
    logits = [[far, far, 0.0, far, far], [0.0, far, far, far, 0.0], [far, np.log(0.1), far, np.log(0.9), far]]
    by_hand = {1.0: [0.0, 0.0, 0.8], 0.5: [0.0, -2.0, 0.6], 0.25: [0.0, -2.0, 0.2], 0.05: [0.0, -2.0, -1.0]}
    for level, values in by_hand.items():
        policy = CategoricalQPolicy(SPEC, ACTION, Logits(logits), -2.0, 2.0, temperature=1.0, risk_level=level)
        assert policy.risk_level == level
        expected = np.exp(values) / np.exp(values).sum()
        np.testing.assert_allclose(probabilities(policy)[0], expected, rtol=1e-4)


@pytest.mark.parametrize("level", [0.0, -0.5, 1.5, 1e-7, float("nan")])
def test_a_risk_level_outside_of_zero_to_one_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match=f"risk_level={level}"):
        categorical(risk_level=level)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("wrap", COMPILATIONS.values(), ids=COMPILATIONS)
def test_the_distribution_over_returns_of_a_keras_model_by_hand(wrap: Any) -> None:
    model = atoms_model()
    policy, step = categorical(model), steps()
    atoms, found = wrap(policy.value_distribution)(step)
    logits = model(step.observation).numpy()
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    expected = weights / weights.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    q = (expected * atoms.numpy()).sum(axis=-1)
    np.testing.assert_allclose(probabilities(policy, step), np.exp(q) / np.exp(q).sum(axis=1, keepdims=True), rtol=1e-4)


def test_a_cautious_policy_takes_the_safe_action_where_the_mean_prefers_the_risky_one() -> None:
    far = -40.0
    # Action 0: sure to give 0. Action 1: -2 with probability 0.4, else 2; its mean is 0.4. Action 2: sure to give -1.
    logits = [[far, far, 0.0, far, far], [np.log(0.4), far, far, far, np.log(0.6)], [far, 0.0, far, far, far]]
    for level, action in ((1.0, 1), (0.5, 0)):
        policy = categorical(Logits(logits), temperature=0.0, risk_level=level)
        np.testing.assert_array_equal(policy.action(steps()).action, [action] * ROWS)


def test_a_distribution_over_returns_is_checked_too() -> None:
    with pytest.raises(ValueError, match="time_step does not match its spec"):
        categorical().value_distribution(steps()._replace(observation=tf.zeros([ROWS, 1])))
    with pytest.raises(ValueError, match="policy_state is float32"):
        categorical().value_distribution(steps(), tf.zeros([ROWS]))
