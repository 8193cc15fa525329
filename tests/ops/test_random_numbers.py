"""Uniform and normal numbers, and the Ornstein-Uhlenbeck process: their distributions, and that a seed repeats them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from ops_testing import MODES, SEEDS, assert_same_as_eager
from random_testing import chi_square_p_value, seed_of

from polyrl import ops


@pytest.mark.parametrize("seed", SEEDS)
def test_uniform_numbers_are_uniform_in_zero_to_below_one(seed) -> None:
    numbers, bins = ops.uniform([20, 1_000], seed_of(seed)).numpy(), 16
    assert (numbers.dtype, numbers.shape) == (np.float32, (20, 1_000))
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    # float32 holds every multiple of 2^-24 up to 1 exactly, so that none is rounded up to 1.
    assert (numbers.astype(np.float64) * 2**24 % 1.0 == 0.0).all()
    assert chi_square_p_value(np.bincount((numbers * bins).astype(int).ravel(), minlength=bins)) > 1e-4
    # The same for the bits after the first four, and after the first sixteen.
    for scale in (bins, bins**4):
        rest = (numbers.astype(np.float64) * scale) % 1.0
        assert chi_square_p_value(np.bincount((rest * bins).astype(int).ravel(), minlength=bins)) > 1e-4


@pytest.mark.parametrize("mode", MODES)
def test_the_same_numbers_eagerly_traced_and_compiled(mode) -> None:
    assert_same_as_eager(mode, lambda seed: ops.uniform([1_000], seed), seed_of(4))


SHAPES = {
    "tuple": (3, 4),
    "array": np.array([3, 4]),
    "tensor shape": tf.TensorShape([3, 4]),
    "tensor": tf.constant([3, 4]),
    "long": tf.constant([3, 4], tf.int64),
    "mixed": [3, tf.constant(4)],
}


@pytest.mark.parametrize("draw", [ops.uniform, ops.normal])
@pytest.mark.parametrize("kind", SHAPES)
def test_a_shape_may_be_given_in_many_ways(kind, draw) -> None:
    np.testing.assert_array_equal(draw(SHAPES[kind], seed_of(4)), draw([3, 4], seed_of(4)))


@pytest.mark.parametrize("draw", [ops.uniform, ops.normal])
def test_a_shape_need_not_be_known_when_it_is_traced(draw) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None, None]), tf.TensorSpec([2], tf.int32)])
    def like(x, seed):
        return draw(tf.shape(x), seed), draw([2, tf.shape(x)[1]], seed)

    whole, rows = like(tf.zeros([3, 4]), seed_of(4))
    np.testing.assert_array_equal(whole, draw([3, 4], seed_of(4)))
    np.testing.assert_array_equal(rows, draw([2, 4], seed_of(4)))


@pytest.mark.parametrize("size", [2.7, -1, [1, 2], 2**31])
def test_a_size_that_is_known_is_checked(size) -> None:
    for shape in ([3, size], [3, tf.constant(size, tf.int64 if size == 2**31 else None)]):
        with pytest.raises((TypeError, ValueError), match="shape="):
            ops.uniform(shape, seed_of(4))


def test_a_known_shape_is_no_operation() -> None:
    graph = tf.function(lambda x, seed: ops.uniform(tf.shape(x), seed)).get_concrete_function(
        tf.TensorSpec([3, 4]), tf.TensorSpec([2], tf.int32)
    )
    assert "Prod" not in {operation.type for operation in graph.graph.get_operations()}


def phi(x: float) -> float:
    """The cumulative distribution function of the standard normal distribution."""
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


@pytest.mark.parametrize("seed", SEEDS)
def test_normal_numbers_have_the_moments_and_the_tails_of_the_normal_distribution(seed) -> None:
    """They are neither uniform nor only positive."""
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
def test_normal_numbers_fall_evenly_into_sixteen_bins_of_equal_probability(seed) -> None:
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


@pytest.mark.parametrize(("theta", "mu", "sigma", "dt"), [(0.15, 0.0, 0.3, 1.0), (0.7, -0.5, 0.2, 0.1), (1.5, 2.0, 0.0, 1.0)])
def test_the_process_equals_a_loop_over_its_elements(theta, mu, sigma, dt) -> None:
    """With normal numbers and the square root of the time step."""
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


@pytest.mark.slow
@pytest.mark.parametrize(("theta", "sigma", "dt"), [(0.15, 0.3, 1.0), (0.5, 0.2, 0.25), (1.9, 0.1, 1.0)])
def test_the_process_reaches_its_stationary_mean_and_variance(theta, sigma, dt) -> None:
    """`x' = a x + b n` with `a = 1 - theta dt`, `b^2 = sigma^2 dt` has the variance `b^2 / (1 - a^2)`, about mu."""
    rows, mu = 20_000, 0.4
    noise = tf.zeros([rows])
    for step in range(200):
        noise = ops.ornstein_uhlenbeck(noise, ops.normal([rows], seed_of(step)), theta, mu, tf.constant(sigma), dt)
    variance = sigma**2 * dt / (1.0 - (1.0 - theta * dt) ** 2)
    rest = mu * (1.0 - (1.0 - theta * dt) ** 200)
    assert abs(noise.numpy().mean() - rest) < 5 * math.sqrt(variance / rows)
    assert abs(noise.numpy().var() / variance - 1.0) < 5 * math.sqrt(2 / rows)
