"""Random actions: their frequencies, their independence, and that a seed repeats them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from ops_testing import MODES, SEEDS, assert_same_as_eager
from random_testing import chi_square_p_value, seed_of

from polyrl import ops

NUM_ACTIONS = 5

GREEDY = 3


def values_that_prefer(action: int, rows: int, num_actions: int = NUM_ACTIONS) -> tf.Tensor:
    return tf.tile(tf.one_hot([action], num_actions), [rows, 1])


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
    # A random action is the greedy one with probability 1 / A, so another one is taken with probability eps (1 - 1 / A).
    expected = epsilon * (1 - 1 / NUM_ACTIONS)
    sigma = np.sqrt(expected * (1 - expected) / rows)
    assert abs((actions != GREEDY).mean() - expected) < 5 * sigma


@pytest.mark.parametrize("seed", SEEDS)
def test_the_random_action_is_independent_of_whether_it_is_taken(seed) -> None:
    # If both came from one draw, a small epsilon would reach only some of the actions.
    actions = ops.epsilon_greedy(values_that_prefer(GREEDY, 50_000), 0.1, seed_of(seed)).numpy()
    others = np.delete(np.bincount(actions, minlength=NUM_ACTIONS), GREEDY)
    assert chi_square_p_value(others) > 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_explore_independently(seed) -> None:
    rows, epsilon = 400, 0.5
    actions = ops.epsilon_greedy(values_that_prefer(GREEDY, rows), epsilon, seed_of(seed)).numpy()
    # With one decision for all rows, all of them would be greedy or all random: a share of 1 or of 1 / A.
    expected = 1 - epsilon + epsilon / NUM_ACTIONS
    sigma = np.sqrt(expected * (1 - expected) / rows)
    assert abs((actions == GREEDY).mean() - expected) < 5 * sigma < min(1 - expected, expected - 1 / NUM_ACTIONS)
    # With one random action for all rows there would be at most two different ones.
    assert len(set(actions)) == NUM_ACTIONS


def test_the_same_seed_gives_the_same_actions_and_another_one_others() -> None:
    q = values_that_prefer(GREEDY, 100)
    first = ops.epsilon_greedy(q, 0.5, seed_of(1)).numpy()
    np.testing.assert_array_equal(ops.epsilon_greedy(q, 0.5, seed_of(1)), first)
    assert (ops.epsilon_greedy(q, 0.5, seed_of(2)).numpy() != first).any()


def test_the_global_seed_has_no_effect() -> None:
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


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_the_same_actions_eagerly_traced_and_compiled(epsilon, mode) -> None:
    q = np.random.default_rng(0).normal(size=(200, NUM_ACTIONS))
    assert_same_as_eager(mode, ops.epsilon_greedy, q, tf.constant(epsilon), seed_of(4))


@pytest.mark.parametrize("seed", SEEDS)
def test_categories_are_drawn_with_their_probabilities(seed) -> None:
    rows, logits = 40_000, np.array([0.0, 1.0, -1.0, -5.0, 2.5])
    probability = np.exp(logits) / np.exp(logits).sum()
    drawn = ops.sample_categorical(tf.constant(np.tile(logits, [rows, 1]), tf.float32), seed_of(seed))
    assert drawn.dtype == tf.int32
    frequency = np.bincount(drawn, minlength=len(logits)) / rows
    sigma = np.sqrt(probability * (1 - probability) / rows)
    assert (abs(frequency - probability) < 5 * sigma).all()


def test_rows_draw_from_their_own_logits_independently() -> None:
    rows = 30_000
    probability = np.array([[0.5, 0.5], [0.1, 0.9]])
    logits = tf.constant(np.tile(np.log(probability), [rows, 1]), tf.float32)
    pairs = ops.sample_categorical(logits, seed_of(0)).numpy().reshape(rows, 2)
    joint = np.bincount(2 * pairs[:, 0] + pairs[:, 1], minlength=4) / rows
    expected = np.outer(*probability).ravel()  # independent, so the product
    assert (abs(joint - expected) < 5 * np.sqrt(expected * (1 - expected) / rows)).all()


def test_a_logit_of_minus_infinity_is_never_drawn() -> None:
    rows, never = 20_000, -np.inf
    drawn = ops.sample_categorical(tf.constant([[never, -1e4, never]] * rows), seed_of(0))
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
def test_the_same_categories_eagerly_traced_and_compiled(mode) -> None:
    logits = np.random.default_rng(0).normal(size=(1_000, NUM_ACTIONS)).astype(np.float32)
    assert_same_as_eager(mode, ops.sample_categorical, logits, seed_of(4))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 10.0])
def test_boltzmann_frequencies_are_the_softmax_at_the_temperature(temperature, seed) -> None:
    rows, q = 40_000, np.array([100.0, 101.0, 99.0, 100.5])
    weights = [math.exp((value - 101.0) / temperature) for value in q]
    probability = np.array(weights) / sum(weights)
    actions = ops.boltzmann(tf.constant(np.tile(q, [rows, 1]), tf.float32), temperature, seed_of(seed))
    assert (actions.shape, actions.dtype) == ((rows,), tf.int32)
    frequency = np.bincount(actions, minlength=len(q)) / rows
    assert (abs(frequency - probability) <= 5 * np.sqrt(probability * (1 - probability) / rows)).all()


@pytest.mark.parametrize("temperature", [0.0, 1e-30, 1e-10])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6, 1e30])
def test_boltzmann_at_a_negligible_temperature_is_the_argmax(scale, temperature) -> None:
    q = np.random.default_rng(0).normal(size=(500, NUM_ACTIONS)).astype(np.float32) * np.float32(scale)
    actions = ops.boltzmann(tf.constant(q), temperature, seed_of(1))
    np.testing.assert_array_equal(actions, [list(row).index(max(row)) for row in q])


def test_boltzmann_at_a_huge_temperature_is_uniform() -> None:
    actions = ops.boltzmann(values_that_prefer(1, 10_000), 1e30, seed_of(0)).numpy()
    assert chi_square_p_value(np.bincount(actions, minlength=NUM_ACTIONS)) > 1e-4


@pytest.mark.parametrize("temperature", [0.0, 1e-37, 1e-6, 1.0, 1e6, 1e38])
@pytest.mark.parametrize("scale", [0.0, 1e-37, 1.0, 1e37])
def test_boltzmann_never_draws_minus_infinity_at_any_scale(scale, temperature) -> None:
    """At any scale: an argmax over NaN logits would return an arbitrary action."""
    q = np.tile([[-np.inf, 1.0 * scale, -np.inf, 2.0 * scale]], [2_000, 1])
    actions = ops.boltzmann(tf.constant(q, tf.float32), temperature, seed_of(2)).numpy()
    assert set(actions) <= {1, 3}
    if temperature > 0.0 and scale / temperature < 1e-3:
        assert set(actions) == {1, 3}
    elif scale > 0.0 and (temperature == 0.0 or scale / temperature > 1e3):
        assert set(actions) == {3}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("explore", [ops.epsilon_greedy, ops.boltzmann])
def test_of_equal_best_values_each_is_as_likely(explore, masked, seed) -> None:
    """An argmax would always take the first: an agent that has learnt nothing yet would never try the others."""
    q = tf.tile([[1.0, 2.0, 0.0, 2.0, 2.0, 2.0]], [20_000, 1])
    mask = tf.tile([[True, True, True, False, True, True]], [20_000, 1]) if masked else None
    counts = np.bincount(explore(q, 0.0, seed_of(seed), mask), minlength=6)
    best = [1, 4, 5] if masked else [1, 3, 4, 5]
    assert counts[best].sum() == 20_000
    assert chi_square_p_value(counts[best]) > 1e-4


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1e-20])
def test_the_same_boltzmann_actions_eagerly_traced_and_compiled(temperature, mode) -> None:
    q = np.random.default_rng(0).normal(size=(200, NUM_ACTIONS)).astype(np.float32)
    assert_same_as_eager(mode, ops.boltzmann, q, tf.constant(temperature), seed_of(4))


def test_a_temperature_that_would_broadcast_is_named() -> None:
    with pytest.raises(ValueError, match="temperature"):
        ops.boltzmann(tf.zeros([3, 2]), tf.fill([3, 1], 0.5), seed_of(0))
