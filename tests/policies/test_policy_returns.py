"""Distributions over returns, and choice by their risk."""

from __future__ import annotations

from polyrl.policies import CategoricalQPolicy

import numpy as np
import pytest
from policy_testing import ACTION, ROWS, SPEC, Logits, categorical, probabilities, steps


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


@pytest.mark.parametrize("level", [0.0, -0.5, 1.5])
def test_a_risk_level_outside_of_zero_to_one_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match=f"risk_level={level}"):
        categorical(risk_level=level)
