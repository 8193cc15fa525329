"""`QuantileQPolicy`: the mean of the quantiles, or of the lowest of them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import ACTION, ACTIONS, ATOMS, COMPILATIONS, MASK, ROWS, SPEC, Logits, atoms_model, steps

from polyrl.policies import QuantileQPolicy

# The first action has the best mean, the second the best worst half, the third neither.
QUANTILES = np.array([[-4.0, 8.0, 9.0, -3.0, 10.0], [3.5, 3.0, 3.0, 4.0, 3.0], [1.0, 2.0, 0.0, 1.0, 1.0]])


def quantile(network=None, **arguments):
    given = {"temperature": 0.0, **arguments}
    return QuantileQPolicy(SPEC, ACTION, Logits(QUANTILES) if network is None else network, **given)


@pytest.mark.parametrize(("level", "best"), [(1.0, 0), (0.4, 1), (0.05, 1)])
@pytest.mark.parametrize("compilation", COMPILATIONS)
def test_the_action_is_best_by_the_mean_of_the_worst_returns(level, best, compilation):
    policy = quantile(risk_level=level)
    chosen = COMPILATIONS[compilation](lambda step: policy.action(step, seed=0).action)(steps())
    np.testing.assert_array_equal(chosen, np.full(ROWS, best))
    assert policy.risk_level == level


def test_the_probabilities_are_those_of_the_means_and_the_temperature():
    logits = quantile(temperature=2.0).distribution(steps()).action.logits.numpy()
    expected = QUANTILES.mean(axis=1) / 2.0
    np.testing.assert_allclose(logits - logits[:, :1], np.tile(expected - expected[0], [ROWS, 1]), rtol=1e-5)


def test_the_value_distribution_is_in_order_with_equal_probabilities():
    found = quantile().value_distribution(steps())
    np.testing.assert_allclose(found.atoms, np.tile(np.sort(QUANTILES, axis=1), [ROWS, 1, 1]))
    np.testing.assert_allclose(found.probabilities, np.full([ROWS, ACTIONS, ATOMS], 1 / ATOMS), rtol=1e-6)


def test_illegal_actions_are_never_chosen():
    policy = quantile(observation_and_action_constraint_splitter=lambda each: (each, tf.constant(MASK)))
    chosen = policy.action(steps(), seed=0).action.numpy()
    assert MASK[np.arange(ROWS), chosen].all()
    assert chosen.tolist() == [0, 1, 2, 0, 0, 1]


def test_a_distribution_over_returns_is_checked():
    with pytest.raises(ValueError, match="time_step does not match its spec"):
        quantile().value_distribution(steps()._replace(observation=tf.zeros([ROWS, 1])))
    with pytest.raises(ValueError, match="policy_state is float32"):
        quantile().value_distribution(steps(), tf.zeros([ROWS]))


def test_quantiles_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"quantiles of shape .* expected \[B, 3, N\]"):
        quantile(Logits(QUANTILES[:2])).action(steps())


@pytest.mark.parametrize("level", [0.0, 1.5, float("nan")])
def test_a_risk_level_out_of_range_is_refused(level):
    with pytest.raises(ValueError, match="risk_level"):
        quantile(risk_level=level)


@pytest.mark.slow
def test_a_saved_policy_acts_as_the_policy(tmp_path):
    policy = quantile(atoms_model(3), temperature=0.7, risk_level=0.5)
    tf.saved_model.save(policy, str(tmp_path), signatures=policy.signatures())
    loaded = tf.saved_model.load(str(tmp_path))
    step = steps()
    found = loaded.signatures["action"](observation=step.observation, seed=tf.constant([0, 5]))["action"]
    np.testing.assert_array_equal(found, policy.action(step, seed=tf.constant([0, 5])).action)
