"""Random choices: how often each is made, that a seed repeats them, and that rows choose on their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from ops_testing import MODES, SEEDS, assert_same_as_eager

from polyrl import ops

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


# Actions by temperature -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 10.0])
def test_boltzmann_frequencies_are_the_softmax_of_the_tempered_values(temperature, seed) -> None:
    rows, q = 40_000, np.array([100.0, 101.0, 99.0, 100.5])
    weights = [math.exp((value - 101.0) / temperature) for value in q]
    probability = np.array(weights) / sum(weights)
    actions = ops.boltzmann(tf.constant(np.tile(q, [rows, 1]), tf.float32), temperature, seed_of(seed))
    assert (actions.shape, actions.dtype) == ((rows,), tf.int32)
    frequency = np.bincount(actions, minlength=len(q)) / rows
    assert (abs(frequency - probability) <= 5 * np.sqrt(probability * (1 - probability) / rows)).all()


@pytest.mark.parametrize("temperature", [0.0, 1e-30, 1e-10])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6, 1e30])
def test_boltzmann_without_a_temperature_to_speak_of_is_the_argmax(scale, temperature) -> None:
    q = np.random.default_rng(0).normal(size=(500, NUM_ACTIONS)).astype(np.float32) * np.float32(scale)
    actions = ops.boltzmann(tf.constant(q), temperature, seed_of(1))
    np.testing.assert_array_equal(actions, [list(row).index(max(row)) for row in q])


def test_boltzmann_at_a_huge_temperature_is_uniform() -> None:
    actions = ops.boltzmann(values_that_prefer(1, 10_000), 1e30, seed_of(0)).numpy()
    assert chi_square_p_value(np.bincount(actions, minlength=NUM_ACTIONS)) > 1e-4


@pytest.mark.parametrize("temperature", [0.0, 1e-37, 1e-6, 1.0, 1e6, 1e38])
@pytest.mark.parametrize("scale", [0.0, 1e-37, 1.0, 1e37])
def test_boltzmann_gives_actions_and_never_what_is_minus_infinity(scale, temperature) -> None:
    """Whatever the sizes: a NaN among the logits would be chosen, or the first of all."""
    q = np.tile([[-np.inf, 1.0 * scale, -np.inf, 2.0 * scale]], [2_000, 1])
    actions = ops.boltzmann(tf.constant(q, tf.float32), temperature, seed_of(2)).numpy()
    assert set(actions) <= {1, 3}
    if temperature > 0.0 and scale / temperature < 1e-3:
        assert set(actions) == {1, 3}
    elif scale > 0.0 and (temperature == 0.0 or scale / temperature > 1e3):
        assert set(actions) == {3}


def test_boltzmann_at_temperature_zero_takes_the_first_of_equals() -> None:
    np.testing.assert_array_equal(ops.boltzmann(tf.zeros([50, 3]), 0.0, seed_of(0)), np.zeros(50))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1e-20])
def test_the_same_boltzmann_actions_eagerly_traced_and_compiled(temperature, mode) -> None:
    q = np.random.default_rng(0).normal(size=(200, NUM_ACTIONS)).astype(np.float32)
    assert_same_as_eager(mode, ops.boltzmann, q, tf.constant(temperature), seed_of(4))


def test_a_temperature_that_would_broadcast_is_named() -> None:
    with pytest.raises(ValueError, match="temperature"):
        ops.boltzmann(tf.zeros([3, 2]), tf.fill([3, 1], 0.5), seed_of(0))


# Normal numbers ---------------------------------------------------------------------------------------------------------


def phi(x: float) -> float:
    """The standard normal distribution function."""
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


@pytest.mark.parametrize("seed", SEEDS)
def test_normal_numbers_have_the_moments_and_the_tails_of_the_normal_distribution(seed) -> None:
    """E2: not uniform ones, and not positive ones alone."""
    count = 400_000
    numbers = ops.normal([400, 1_000], seed_of(seed)).numpy()
    assert (numbers.shape, numbers.dtype) == ((400, 1_000), np.float32)
    assert np.isfinite(numbers).all()
    x = numbers.astype(np.float64).ravel()
    # The standard errors of the first four moments: those of x^n are Var(x^n) / count, with E x^2n = (2n - 1)!!.
    for power, moment, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert abs((x**power).mean() - moment) < 5 * math.sqrt(variance / count), power
    for limit in (1.0, 2.0, 3.0, 4.0):
        share = 1.0 - phi(limit)
        for side in (x, -x):
            assert abs((side > limit).mean() - share) < 5 * math.sqrt(share / count), limit


@pytest.mark.parametrize("seed", SEEDS)
def test_normal_numbers_fall_evenly_into_sixteen_parts_of_equal_probability(seed) -> None:
    numbers = ops.normal([50_000], seed_of(seed)).numpy()
    parts = [min(int(16 * phi(float(x))), 15) for x in numbers]
    assert chi_square_p_value(np.bincount(parts, minlength=16)) > 1e-4


def test_normal_numbers_are_independent_of_their_neighbours() -> None:
    x = ops.normal([300, 300], seed_of(0)).numpy().astype(np.float64)
    for product in (x[1:] * x[:-1], x[:, 1:] * x[:, :-1]):
        assert abs(product.mean()) < 5 / math.sqrt(product.size)


@pytest.mark.parametrize(("number", "largest"), [(0.0, 0.0), (1.0 - 2.0**-24, math.sqrt(48 * math.log(2.0)))])
def test_the_extremes_of_the_uniform_numbers_give_finite_normal_ones(monkeypatch, number, largest) -> None:
    """Zero and the largest number below one: a logarithm of zero would be infinite."""
    monkeypatch.setattr("polyrl.ops.exploration.uniform", lambda shape, seed: tf.stack([[number], [0.0]]))
    np.testing.assert_allclose(ops.normal([1], seed_of(0)), [largest], rtol=1e-5)


def test_the_same_seed_gives_the_same_normal_numbers_and_another_one_others() -> None:
    first = ops.normal([100], seed_of(1)).numpy()
    np.testing.assert_array_equal(ops.normal([100], seed_of(1)), first)
    assert (ops.normal([100], seed_of(2)).numpy() != first).all()


@pytest.mark.parametrize("mode", MODES)
def test_the_same_normal_numbers_eagerly_traced_and_compiled(mode) -> None:
    assert_same_as_eager(mode, lambda seed: ops.normal([30, 20], seed), seed_of(4))


# Ornstein and Uhlenbeck -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("theta", "mu", "sigma", "dt"), [(0.15, 0.0, 0.3, 1.0), (0.7, -0.5, 0.2, 0.1), (1.5, 2.0, 0.0, 1.0)])
def test_the_process_is_that_of_a_loop_over_numbers(theta, mu, sigma, dt) -> None:
    """E2: with normal numbers and the square root of the time step."""
    rng = np.random.default_rng(0)
    noise = tf.zeros([2, 3])
    expected = [[0.0] * 3 for _ in range(2)]
    for _ in range(20):
        drawn = rng.normal(size=(2, 3)).astype(np.float32)
        noise = ops.ornstein_uhlenbeck(noise, tf.constant(drawn), theta, mu, tf.constant(sigma), dt)
        for i in range(2):
            for j in range(3):
                x = expected[i][j]
                expected[i][j] = x + theta * (mu - x) * dt + sigma * dt**0.5 * float(drawn[i, j])
    assert noise.dtype == tf.float32
    np.testing.assert_allclose(noise, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("theta", "sigma", "dt"), [(0.15, 0.3, 1.0), (0.5, 0.2, 0.25), (1.9, 0.1, 1.0)])
def test_the_process_comes_to_rest_at_its_stationary_mean_and_variance(theta, sigma, dt) -> None:
    """`x' = a x + b n` with `a = 1 - theta dt`, `b^2 = sigma^2 dt` has the variance `b^2 / (1 - a^2)`, about mu."""
    rows, mu = 20_000, 0.4
    noise = tf.zeros([rows])
    for step in range(200):
        noise = ops.ornstein_uhlenbeck(noise, ops.normal([rows], seed_of(step)), theta, mu, tf.constant(sigma), dt)
    variance = sigma**2 * dt / (1.0 - (1.0 - theta * dt) ** 2)
    rest = mu * (1.0 - (1.0 - theta * dt) ** 200)
    assert abs(noise.numpy().mean() - rest) < 5 * math.sqrt(variance / rows)
    assert abs(noise.numpy().var() / variance - 1.0) < 5 * math.sqrt(2 / rows)


@pytest.mark.parametrize("temperature", [0.0, 1e-6, 1.0, 1e6])
def test_boltzmann_draws_legal_actions_only_and_those_by_their_softmax(temperature) -> None:
    """The illegal action has the largest value; of two legal ones the better is drawn with its share of the two."""
    rows, q = 20_000, [9.0, 0.0, 1.0]
    mask = tf.constant([[False, True, True]] * rows)
    drawn = ops.boltzmann(tf.constant([q] * rows), temperature, seed_of(3), mask).numpy()
    assert set(drawn) <= {1, 2}
    share = 1.0 if temperature < 0.1 else 1.0 / (1.0 + np.exp(-1.0 / temperature))
    assert np.mean(drawn == 2) == pytest.approx(share, abs=5 * np.sqrt(0.25 / rows) if share < 1.0 else 0.0)
