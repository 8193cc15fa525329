"""Random choices: how often each is made, that a seed repeats them, and that rows choose on their own."""

from __future__ import annotations

from polyrl import ops

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from ops_testing import MODES, SEEDS, assert_same_as_eager

NUM_ACTIONS = 5
GREEDY = 3


def seed_of(number: int) -> tf.Tensor:
    return tf.constant([number, 17])


def values_that_prefer(action: int, rows: int, num_actions: int = NUM_ACTIONS) -> tf.Tensor:
    return tf.tile(tf.one_hot([action], num_actions), [rows, 1])


def chi_square_p_value(counts: np.ndarray) -> float:
    """The probability of counts at least as uneven as these when all are equally likely."""
    expected = counts.sum() / len(counts)
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float(tfp.distributions.Chi2(float(len(counts) - 1)).survival_function(statistic))


@pytest.mark.parametrize("seed", SEEDS)
def test_epsilon_zero_is_the_argmax(seed) -> None:
    q = np.random.default_rng(seed).normal(size=(500, NUM_ACTIONS))
    actions = ops.epsilon_greedy(tf.constant(q), 0.0, seed_of(seed))
    assert actions.dtype == tf.int32
    np.testing.assert_array_equal(actions, [list(row).index(max(row)) for row in q])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("num_actions", [2, NUM_ACTIONS])
def test_epsilon_one_is_uniform_over_all_actions(num_actions, seed) -> None:
    actions = ops.epsilon_greedy(values_that_prefer(1, 10_000, num_actions), 1.0, seed_of(seed)).numpy()
    counts = np.bincount(actions, minlength=num_actions)
    assert len(counts) == num_actions
    assert chi_square_p_value(counts) > 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_epsilon_is_the_share_of_random_actions(seed) -> None:
    rows, epsilon = 20_000, 0.3
    actions = ops.epsilon_greedy(values_that_prefer(GREEDY, rows), epsilon, seed_of(seed)).numpy()
    # A random action is the greedy one with probability 1 / A, so the others show with probability eps (1 - 1 / A).
    expected = epsilon * (1 - 1 / NUM_ACTIONS)
    sigma = np.sqrt(expected * (1 - expected) / rows)
    assert abs((actions != GREEDY).mean() - expected) < 5 * sigma


@pytest.mark.parametrize("seed", SEEDS)
def test_which_action_is_random_does_not_depend_on_the_coin(seed) -> None:
    # Were coin and action one draw, small epsilons would know only some of the actions.
    actions = ops.epsilon_greedy(values_that_prefer(GREEDY, 50_000), 0.1, seed_of(seed)).numpy()
    others = np.delete(np.bincount(actions, minlength=NUM_ACTIONS), GREEDY)
    assert chi_square_p_value(others) > 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_each_row_has_its_own_coin_and_its_own_random_action(seed) -> None:
    rows, epsilon = 400, 0.5
    actions = ops.epsilon_greedy(values_that_prefer(GREEDY, rows), epsilon, seed_of(seed)).numpy()
    # One coin for all rows would make all of them greedy or all of them random: a share of 1 or of 1 / A.
    expected = 1 - epsilon + epsilon / NUM_ACTIONS
    sigma = np.sqrt(expected * (1 - expected) / rows)
    assert abs((actions == GREEDY).mean() - expected) < 5 * sigma < min(1 - expected, expected - 1 / NUM_ACTIONS)
    # One random action for all of them would be of one kind.
    assert len(set(actions)) == NUM_ACTIONS


def test_the_same_seed_gives_the_same_actions_and_another_one_others() -> None:
    q = values_that_prefer(GREEDY, 100)
    first = ops.epsilon_greedy(q, 0.5, seed_of(1)).numpy()
    np.testing.assert_array_equal(ops.epsilon_greedy(q, 0.5, seed_of(1)), first)
    assert (ops.epsilon_greedy(q, 0.5, seed_of(2)).numpy() != first).any()


def test_the_global_seed_does_not_matter() -> None:
    q, drawn = values_that_prefer(GREEDY, 100), []
    for global_seed in (1, 2):
        tf.random.set_seed(global_seed)
        drawn.append(ops.epsilon_greedy(q, 0.5, seed_of(1)).numpy())
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("shape", [[3], [3, 2, 1]], ids=str)
def test_values_of_another_rank_are_named(shape) -> None:
    with pytest.raises(ValueError, match="q has shape"):
        ops.epsilon_greedy(tf.zeros(shape), 0.5, seed_of(0))


def test_an_epsilon_that_would_broadcast_is_named() -> None:
    with pytest.raises(ValueError, match="epsilon"):  # instead of actions of shape [3, 3]
        ops.epsilon_greedy(tf.zeros([3, 2]), tf.fill([3, 1], 0.5), seed_of(0))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_the_same_actions_eagerly_traced_and_compiled(epsilon, mode) -> None:
    q = np.random.default_rng(0).normal(size=(200, NUM_ACTIONS))
    assert_same_as_eager(mode, ops.epsilon_greedy, q, tf.constant(epsilon), seed_of(4))


# Uniform numbers and categorical choices --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_uniform_numbers_are_spread_evenly_from_zero_to_below_one(seed) -> None:
    numbers, bins = ops.uniform([20, 1_000], seed_of(seed)).numpy(), 16
    assert (numbers.dtype, numbers.shape) == (np.float32, (20, 1_000))
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    # float32 holds every multiple of 2^-24 up to 1 exactly, so that none is rounded up to 1.
    assert (numbers.astype(np.float64) * 2**24 % 1.0 == 0.0).all()
    assert chi_square_p_value(np.bincount((numbers * bins).astype(int).ravel(), minlength=bins)) > 1e-4
    # The same of what is left below the first four bits and below the first sixteen.
    for scale in (bins, bins**4):
        rest = (numbers.astype(np.float64) * scale) % 1.0
        assert chi_square_p_value(np.bincount((rest * bins).astype(int).ravel(), minlength=bins)) > 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_a_category_is_drawn_as_often_as_it_is_probable(seed) -> None:
    rows, logits = 40_000, np.array([0.0, 1.0, -1.0, -5.0, 2.5])
    probability = np.exp(logits) / np.exp(logits).sum()
    drawn = ops.sample_categorical(tf.constant(np.tile(logits, [rows, 1]), tf.float32), seed_of(seed))
    assert drawn.dtype == tf.int32
    frequency = np.bincount(drawn, minlength=len(logits)) / rows
    sigma = np.sqrt(probability * (1 - probability) / rows)
    assert (abs(frequency - probability) < 5 * sigma).all()


def test_the_rows_of_a_batch_draw_by_their_own_logits_and_independently() -> None:
    rows = 30_000
    probability = np.array([[0.5, 0.5], [0.1, 0.9]])
    logits = tf.constant(np.tile(np.log(probability), [rows, 1]), tf.float32)
    pairs = ops.sample_categorical(logits, seed_of(0)).numpy().reshape(rows, 2)
    joint = np.bincount(2 * pairs[:, 0] + pairs[:, 1], minlength=4) / rows
    expected = np.outer(*probability).ravel()  # independent, so the product
    assert (abs(joint - expected) < 5 * np.sqrt(expected * (1 - expected) / rows)).all()


def test_minus_infinity_is_never_drawn_and_what_is_left_always() -> None:
    rows, nothing = 20_000, -np.inf
    drawn = ops.sample_categorical(tf.constant([[nothing, -1e4, nothing]] * rows), seed_of(0))
    np.testing.assert_array_equal(drawn, np.ones(rows))


def test_the_same_seed_draws_the_same_categories_and_another_one_others() -> None:
    logits = tf.zeros([100, NUM_ACTIONS])
    first = ops.sample_categorical(logits, seed_of(1)).numpy()
    np.testing.assert_array_equal(ops.sample_categorical(logits, seed_of(1)), first)
    assert (ops.sample_categorical(logits, seed_of(2)).numpy() != first).any()


@pytest.mark.parametrize("shape", [[3], [3, 2, 1]], ids=str)
def test_logits_of_another_rank_are_named(shape) -> None:
    with pytest.raises(ValueError, match="logits has shape"):
        ops.sample_categorical(tf.zeros(shape), seed_of(0))


@pytest.mark.parametrize("mode", MODES)
def test_the_same_numbers_eagerly_traced_and_compiled(mode) -> None:
    assert_same_as_eager(mode, lambda seed: ops.uniform([1_000], seed), seed_of(4))


@pytest.mark.parametrize("mode", MODES)
def test_the_same_categories_eagerly_traced_and_compiled(mode) -> None:
    logits = np.random.default_rng(0).normal(size=(1_000, NUM_ACTIONS)).astype(np.float32)
    assert_same_as_eager(mode, ops.sample_categorical, logits, seed_of(4))
