"""Masks: illegal actions are never greedy and never drawn; the legal ones are equally likely."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from ops_testing import MODES, SEEDS, assert_same_as_eager

from polyrl import ops

ROWS, ACTIONS = 6_000, 5

MASKS = np.array([[1, 0, 1, 1, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 1, 1]], bool)


def random_mask(seed: int, rows: int = 200) -> np.ndarray:
    mask = np.random.default_rng(seed).random([rows, ACTIONS]) < 0.4
    mask[np.arange(rows), np.random.default_rng(seed + 1).integers(ACTIONS, size=rows)] = True
    return mask


def values(seed: int, rows: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=[rows, ACTIONS]).astype(np.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_greedy_action_is_the_legal_one_with_the_largest_value(seed):
    q, mask = values(seed), random_mask(seed)
    greedy = ops.epsilon_greedy(tf.constant(q), 0.0, tf.constant([seed, 1]), tf.constant(mask)).numpy()
    for row in range(len(q)):
        legal = [action for action in range(ACTIONS) if mask[row, action]]
        assert greedy[row] == max(legal, key=lambda action: q[row, action])
    assert (greedy != q.argmax(axis=1)).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_random_actions_are_uniform_over_the_legal_ones(seed):
    """A chi-squared test for each mask; the action with the largest value is illegal in some of them."""
    mask = np.repeat(MASKS, ROWS, axis=0)
    q = np.tile(np.arange(ACTIONS, dtype=np.float32)[::-1], [len(mask), 1])
    actions = ops.epsilon_greedy(tf.constant(q), 1.0, tf.constant([seed, 2]), tf.constant(mask)).numpy()
    for number, legal in enumerate(MASKS):
        counts = np.bincount(actions[number * ROWS : (number + 1) * ROWS], minlength=ACTIONS)
        assert counts[~legal].tolist() == [0] * int((~legal).sum())
        expected = ROWS / legal.sum()
        statistic = ((counts[legal] - expected) ** 2 / expected).sum()
        freedom = max(legal.sum() - 1.0, 1.0)
        assert float(tfp.distributions.Chi2(freedom).survival_function(statistic)) > 1e-5


@pytest.mark.parametrize("seed", SEEDS)
def test_epsilon_is_the_share_of_random_actions_among_the_legal_ones(seed):
    mask = np.repeat(MASKS[:1], 20_000, axis=0)  # Three legal actions, the first of which is greedy.
    q = np.tile(np.arange(ACTIONS, dtype=np.float32)[::-1], [len(mask), 1])
    actions = ops.epsilon_greedy(tf.constant(q), 0.3, tf.constant([seed, 3]), tf.constant(mask)).numpy()
    expected = 0.3 * 2 / 3
    assert abs((actions != 0).mean() - expected) < 5 * np.sqrt(expected * (1 - expected) / len(mask))


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
def test_a_mask_of_all_actions_changes_nothing(epsilon):
    q, seed = tf.constant(values(0)), tf.constant([5, 6])
    masked = ops.epsilon_greedy(q, epsilon, seed, tf.ones_like(q, tf.bool))
    np.testing.assert_array_equal(masked, ops.epsilon_greedy(q, epsilon, seed))


@pytest.mark.parametrize("mode", MODES)
def test_masked_actions_and_values_are_the_same_eagerly_traced_and_compiled(mode):
    function = lambda q, mask: (ops.epsilon_greedy(q, 0.5, tf.constant([1, 2]), mask), ops.mask_values(q, mask))  # noqa: E731
    assert_same_as_eager(mode, function, values(1), random_mask(1))


def test_masked_values_vanish_with_a_discount_of_zero():
    """Even where no action is legal: zero times infinity would be NaN."""
    masked = ops.mask_values(tf.constant([[1.0, 2.0]]), tf.constant([[False, False]]))
    assert float(0.0 * tf.reduce_max(masked)) == 0.0
    assert ops.mask_values(masked, None) is masked


@pytest.mark.parametrize("shape", [[4, 3], [3, 5], [5]])
def test_a_mask_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="mask has shape"):
        ops.mask_values(tf.zeros([4, 5]), tf.ones(shape, tf.bool))


@pytest.mark.parametrize("temperature", [0.0, 1e-6, 1.0, 1e6])
def test_boltzmann_draws_only_legal_actions_with_their_softmax_probabilities(temperature) -> None:
    """The illegal action has the largest value; the two legal ones are drawn with the softmax of their two values."""
    rows, q = 20_000, [9.0, 0.0, 1.0]
    mask = tf.constant([[False, True, True]] * rows)
    drawn = ops.boltzmann(tf.constant([q] * rows), temperature, tf.constant([3, 17]), mask).numpy()
    assert set(drawn) <= {1, 2}
    share = 1.0 if temperature < 0.1 else 1.0 / (1.0 + np.exp(-1.0 / temperature))
    assert np.mean(drawn == 2) == pytest.approx(share, abs=5 * np.sqrt(0.25 / rows) if share < 1.0 else 0.0)
