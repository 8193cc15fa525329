"""Normalized advantages against loops over rows and dimensions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from ops_testing import MODES, SEEDS, assert_same_as_eager, finite_difference, gradients

from polyrl import ops

PLACES = {
    1: [[0]],
    2: [[2], [1, 0]],
    3: [[3], [5, 4], [2, 1, 0]],
}
"""Position of each entry, row by row up to the diagonal: clockwise in a spiral, starting at the end of the last row."""


def scales(k: int, rows: int = 6, seed: int = 0) -> np.ndarray:
    """Lower triangular `[rows, k, k]` with a positive diagonal, float64."""
    rng = np.random.default_rng(seed)
    scale = np.tril(rng.normal(size=[rows, k, k]))
    scale[:, range(k), range(k)] = np.exp(rng.normal(size=[rows, k]) * 0.5)
    return scale


def product(scale: np.ndarray) -> np.ndarray:
    """`L L^T` of one row, entry by entry."""
    k = len(scale)
    return np.array([[sum(scale[i, m] * scale[j, m] for m in range(k)) for j in range(k)] for i in range(k)])


def advantage(action: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> list[float]:
    """Equation 6, sum by sum."""
    result = []
    for a, mu, one in zip(action, mean, scale, strict=True):
        precision = product(one)
        total = 0.0
        for i in range(len(a)):
            for j in range(len(a)):
                total += (a[i] - mu[i]) * precision[i, j] * (a[j] - mu[j])
        result.append(-0.5 * total)
    return result


def actions(k: int, rows: int = 6, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    action, mean = np.random.default_rng(seed).uniform(-1, 1, [2, rows, k])
    return action, mean


# The triangle. ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", PLACES)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_triangle_holds_each_entry_once_and_exponentiates_the_diagonal(k, seed) -> None:
    """Off the diagonal are the entries themselves, not `exp(0)`, and there are `k` rows for k > 1 as well."""
    entries = np.random.default_rng(seed).normal(size=[5, k * (k + 1) // 2]).astype(np.float32)
    expected = np.zeros([5, k, k])
    for row in range(5):
        for i, places in enumerate(PLACES[k]):
            for j, place in enumerate(places):
                number = float(entries[row, place])
                expected[row, i, j] = math.exp(number) if i == j else number
    found = ops.scale_tril(tf.constant(entries))
    assert (found.shape, found.dtype) == ((5, k, k), tf.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_triangle_is_the_lower_one() -> None:
    """It matters because `L L^T` differs from `L^T L`."""
    scale = ops.scale_tril(tf.constant([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])).numpy()[0]
    np.testing.assert_array_equal(scale[np.triu_indices(3, 1)], np.zeros(3))
    assert (scale[np.tril_indices(3)] != 0.0).all()


@pytest.mark.parametrize("k", PLACES)
@pytest.mark.parametrize("size", [0.1, 1.0, 3.0])
def test_the_precision_is_positive_definite_for_any_entries(k, size) -> None:
    entries = np.random.default_rng(0).normal(size=[50, k * (k + 1) // 2], scale=size)
    for scale in ops.scale_tril(tf.constant(entries, tf.float64)).numpy():
        precision = product(scale)
        np.testing.assert_allclose(precision, precision.T)
        assert np.linalg.eigvalsh(precision).min() > 0.0


@pytest.mark.parametrize("k", PLACES)
def test_every_entry_gets_a_gradient(k) -> None:
    (gradient,) = gradients(ops.scale_tril, tf.random.stateless_normal([4, k * (k + 1) // 2], [0, 1]))
    assert (gradient.numpy() != 0.0).all()


@pytest.mark.parametrize("mode", ["function", "xla"])
def test_the_same_triangle_traced_and_compiled(mode) -> None:
    assert_same_as_eager(mode, ops.scale_tril, tf.random.stateless_normal([4, 6], [0, 1]))


def test_entries_of_another_rank_are_named() -> None:
    with pytest.raises(ValueError, match="entries has shape"):
        ops.scale_tril(tf.zeros([3]))


# The advantage. ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", PLACES)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_advantage_equals_the_quadratic_form_as_a_loop(k, seed) -> None:
    action, mean = actions(k, seed=seed)
    scale = scales(k, seed=seed)
    found = ops.normalized_advantage(*(tf.constant(x, tf.float32) for x in (action, mean, scale)))
    assert found.shape == (6,)
    np.testing.assert_allclose(found, advantage(action, mean, scale), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("k", PLACES)
def test_the_advantage_is_zero_at_the_mean_and_below_zero_elsewhere(k) -> None:
    rows = 200
    action, mean = (tf.constant(x, tf.float32) for x in actions(k, rows))
    scale = tf.constant(scales(k, rows), tf.float32)
    np.testing.assert_array_equal(ops.normalized_advantage(mean, mean, scale), np.zeros(rows))
    assert (ops.normalized_advantage(action, mean, scale).numpy() < 0.0).all()


@pytest.mark.parametrize("k", [2, 3])
def test_the_advantages_gradients_are_finite_differences_of_the_loop(k) -> None:
    action, mean = actions(k, rows=2)
    scale = scales(k, rows=2)
    found = gradients(ops.normalized_advantage, *(tf.constant(x, tf.float64) for x in (action, mean, scale)))
    np.testing.assert_allclose(found[1], finite_difference(lambda m: sum(advantage(action, m, scale)), mean), atol=1e-6)
    by_scale = finite_difference(lambda s: sum(advantage(action, mean, s)), scale)
    np.testing.assert_allclose(np.tril(found[2]), np.tril(by_scale), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_advantages_traced_and_compiled(mode) -> None:
    action, mean = actions(3)
    arguments = (x.astype(np.float32) for x in (action, mean, scales(3)))
    assert_same_as_eager(mode, ops.normalized_advantage, *arguments)


@pytest.mark.parametrize(
    ("action", "mean", "scale"), [([5], [5, 1], [5, 1, 1]), ([5, 2], [5, 1], [5, 1, 1]), ([5, 2], [5, 2], [5, 2, 3])]
)
def test_shapes_that_would_broadcast_are_refused(action, mean, scale) -> None:
    with pytest.raises(ValueError, match="shape"):
        ops.normalized_advantage(tf.zeros(action), tf.zeros(mean), tf.zeros(scale))


# Actions at a temperature. ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", PLACES)
@pytest.mark.parametrize("temperature", [0.25, 2.0])
@pytest.mark.parametrize("seed", SEEDS[:2])
def test_samples_have_the_mean_and_the_covariance_of_the_normal_distribution(k, temperature, seed) -> None:
    """`exp(Q / T)` with `Q = -1/2 d^T P d` is normal with covariance `T P^-1`: whitened by it, the samples are standard."""
    rows = 40_000
    mean, scale = actions(k, 1, seed)[1][0], scales(k, 1, seed)[0]
    inputs = (tf.constant(np.tile(x, [rows, *[1] * x.ndim]), tf.float32) for x in (mean, scale))
    found = ops.sample_normalized(*inputs, temperature, tf.constant([seed, 5]))
    assert (found.shape, found.dtype) == ((rows, k), tf.float32)
    covariance = temperature * np.linalg.inv(product(scale))
    white = np.linalg.solve(np.linalg.cholesky(covariance), (found.numpy() - mean).T.astype(np.float64)).T
    assert (abs(white.mean(axis=0)) < 5 / np.sqrt(rows)).all()
    deviation = np.where(np.eye(k) > 0, np.sqrt(2.0), 1.0) / np.sqrt(rows)
    assert (abs(white.T @ white / rows - np.eye(k)) < 5 * deviation).all()


def test_rows_are_drawn_independently_from_their_own_mean_and_scale() -> None:
    pairs = 20_000
    mean = tf.tile(tf.constant([[0.5], [-0.5]]), [pairs, 1])
    scale = tf.tile(tf.constant([[[1.0]], [[4.0]]]), [pairs, 1, 1])
    wide, narrow = ops.sample_normalized(mean, scale, 1.0, tf.constant([1, 2])).numpy().reshape(pairs, 2).T
    assert abs(wide.mean() - 0.5) < 5 / np.sqrt(pairs)
    assert abs(narrow.mean() + 0.5) < 5 * 0.25 / np.sqrt(pairs)
    assert abs(narrow.std() / 0.25 - 1.0) < 5 / np.sqrt(2 * pairs)
    assert abs(np.corrcoef(wide, narrow)[0, 1]) < 5 / np.sqrt(pairs)


def test_temperature_zero_is_the_mean() -> None:
    mean = tf.constant(actions(3)[1], tf.float32)
    found = ops.sample_normalized(mean, tf.constant(scales(3), tf.float32), 0.0, tf.constant([1, 2]))
    np.testing.assert_array_equal(found, mean)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_samples_traced_and_compiled(mode) -> None:
    mean, scale = actions(3)[1].astype(np.float32), scales(3).astype(np.float32)
    assert_same_as_eager(mode, lambda m, s, seed: ops.sample_normalized(m, s, 0.5, seed), mean, scale, tf.constant([3, 4]))


# The loss. --------------------------------------------------------------------------------------------------------------


def squared(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    return tf.square(target - prediction)


BY_HAND = {
    "advantage": [-0.5, 0.0, -2.0],
    "value": [1.0, 2.0, 3.0],
    "reward": [0.0, 1.0, -1.0],
    "discount": [0.5, 0.0, 1.0],
    "next_value": [4.0, 7.0, 2.5],
}
PREDICTION, TARGET, LOSS = [0.5, 2.0, 1.0], [2.0, 1.0, 1.5], [2.25, 1.0, 0.25]


def test_the_loss_is_that_by_hand() -> None:
    """One number for each row: V is `[B]`, and no row is combined with all others."""
    output = ops.normalized_q_learning(**{name: tf.constant(x) for name, x in BY_HAND.items()}, loss_fn=squared)
    np.testing.assert_allclose(output.prediction, PREDICTION)
    np.testing.assert_allclose(output.target, TARGET)
    np.testing.assert_allclose(output.td_error, np.subtract(TARGET, PREDICTION))
    np.testing.assert_allclose(output.loss, LOSS)


def test_only_advantage_and_value_get_a_gradient() -> None:
    """By hand: `d loss / d prediction = 2 (prediction - target)`, the same for both summands; the target is a constant."""

    def loss(*arguments: tf.Tensor) -> tf.Tensor:
        return ops.normalized_q_learning(*arguments, loss_fn=squared).loss

    by_advantage, by_value, *others = gradients(loss, *BY_HAND.values())
    expected = 2.0 * np.subtract(PREDICTION, TARGET)
    np.testing.assert_allclose(by_advantage, expected)
    np.testing.assert_allclose(by_value, expected)
    assert others == [None] * 3


@pytest.mark.parametrize("name", BY_HAND)
def test_an_argument_with_an_additional_axis_is_named(name) -> None:
    """A value `[B, 1]` would broadcast to all rewards."""
    given = {key: tf.constant(x)[:, tf.newaxis] if key == name else tf.constant(x) for key, x in BY_HAND.items()}
    with pytest.raises(ValueError, match=f"{name} has shape"):
        ops.normalized_q_learning(**given, loss_fn=squared)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_loss_traced_and_compiled(mode) -> None:
    def loss(*arguments: tf.Tensor) -> tf.Tensor:
        return ops.normalized_q_learning(*arguments, loss_fn=squared).loss

    assert_same_as_eager(mode, loss, *BY_HAND.values())
