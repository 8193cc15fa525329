"""The random numbers of networks, against SplitMix64 in Python's integers, and their distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from polyrl.networks.random_numbers import hashed_normal, hashed_uniform

CALLS = {
    "eager": lambda function: function,
    "graph": lambda function: tf.function(function, autograph=False),
    "xla": lambda function: tf.function(function, autograph=False, jit_compile=True),
}
SEEDS = [(0, 0), (1, 17), (-5, 3), (2**62 + 12_345, 2**40), (7, -1)]
MASK = 2**64 - 1


def mixed(bits):
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & MASK
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & MASK
    return bits ^ bits >> 31


def splitmix(count, seed):
    """`next()` of SplitMix64, `count` times; it adds the golden ratio before it mixes, so it begins one step earlier."""
    first, second = (number & MASK for number in seed)
    golden = 0x9E3779B97F4A7C15
    state = mixed((mixed((first + golden) & MASK) + second * 0xD1B54A32D192ED03) & MASK) - golden
    numbers = []
    for _ in range(count):
        state = (state + golden) & MASK
        numbers.append((mixed(state) >> 40) / 2**24)
    return np.array(numbers)


def p_value(numbers, bins=16):
    counts = np.bincount((numbers * bins).astype(int).ravel(), minlength=bins)
    expected = numbers.size / bins
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float(tfp.distributions.Chi2(float(bins - 1)).survival_function(statistic))


def test_the_published_outputs_of_splitmix64_are_those_of_this_hash():
    """The first outputs for the state 1234567, as its reference implementation prints them."""
    golden, state, found = 0x9E3779B97F4A7C15, 1_234_567, []
    for _ in range(3):
        state = (state + golden) & MASK
        found.append(mixed(state))
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("seed", SEEDS)
def test_uniform_numbers_are_those_of_the_generator_bit_by_bit(call, seed):
    found = CALLS[call](lambda seed: hashed_uniform([5, 20], seed))(tf.constant(seed, tf.int64)).numpy()
    assert (found.dtype, found.shape) == (np.float32, (5, 20))
    np.testing.assert_array_equal(found.ravel(), splitmix(100, seed))


def test_a_seed_may_have_fewer_bits_and_a_shape_may_be_a_tensor():
    np.testing.assert_array_equal(
        hashed_uniform(tf.constant([2, 3]), tf.constant([-5, 3])).numpy().ravel(), splitmix(6, (-5, 3))
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_uniform_numbers_are_uniform_to_their_last_bits(seed):
    numbers = hashed_uniform([20_000], tf.constant(seed, tf.int64)).numpy().astype(np.float64)
    for scale in (1, 16, 16**4, 16**5):
        assert p_value(numbers * scale % 1.0) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("other", [(0, 1), (1, 0), (2**31, 0), (1, -1)])
def test_neighbours_in_place_and_seed_are_independent(other):
    """The counters of a run, one after the other, and streams that are close to each other."""
    counts = np.arange(400)
    seeds = [tf.constant([5, 1_000 + count], tf.int64) for count in counts]
    numbers = np.stack([hashed_uniform([300], seed).numpy() for seed in seeds]).astype(np.float64) - 0.5
    shifted = np.stack([hashed_uniform([300], seed + tf.constant(other, tf.int64)).numpy() for seed in seeds]) - 0.5
    for product in (numbers[1:] * numbers[:-1], numbers[:, 1:] * numbers[:, :-1], numbers * shifted):
        assert abs(product.mean()) < 5 / 12 / math.sqrt(product.size)
    assert p_value(numbers[:, 0] + 0.5) > 1e-4  # The first number of each seed.


@pytest.mark.parametrize("size", [1, 2, 7])
def test_normal_numbers_are_box_and_mullers(size):
    """With the cosine of the first half, the sine of the second."""
    half = (size + 1) // 2
    first, second = np.split(splitmix(2 * half, (3, 4)), 2)
    radius = np.sqrt(-2.0 * np.log(1.0 - first))
    expected = np.concatenate([radius * np.cos(2 * np.pi * second), radius * np.sin(2 * np.pi * second)])[:size]
    for call in CALLS.values():
        np.testing.assert_allclose(call(lambda seed: hashed_normal(size, seed))([3, 4]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_normal_numbers_have_the_moments_and_the_tails_of_the_normal_distribution(seed):
    x = hashed_normal(400_000, tf.constant(seed, tf.int64)).numpy().astype(np.float64)
    for power, moment, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert abs((x**power).mean() - moment) < 5 * math.sqrt(variance / x.size), power
    for limit in (1.0, 2.0, 3.0, 4.0):
        share = 0.5 * math.erfc(limit / math.sqrt(2.0))
        for side in (x, -x):
            assert abs((side > limit).mean() - share) < 5 * math.sqrt(share / x.size), limit
    halves = x[: x.size // 2] * x[x.size // 2 :]
    assert abs(halves.mean()) < 5 / math.sqrt(halves.size)


@pytest.mark.parametrize("number", [0.0, 1.0 - 2.0**-24])
def test_the_extremes_of_the_uniform_numbers_give_finite_normal_ones(monkeypatch, number):
    monkeypatch.setattr("polyrl.networks.random_numbers.hashed_uniform", lambda shape, seed: tf.constant([number, 0.0]))
    np.testing.assert_allclose(hashed_normal(1, [1, 2]), [math.sqrt(-2.0 * math.log(1.0 - number))], rtol=1e-5)
