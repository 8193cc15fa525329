"""Polyak averages against numpy, and the checks that the two networks match."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from ops_testing import MODES, assert_same_as_eager

from polyrl import ops

SHAPES = [(3, 2), (2,), ()]


def tensors(seed: int) -> list[tf.Tensor]:
    rng = np.random.default_rng(seed)
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in SHAPES]


@pytest.mark.parametrize("tau", [0.0, 0.001, 0.3, 1.0])
def test_each_tensor_is_the_weighted_mean_of_source_and_target(tau) -> None:
    source, target = tensors(seed=0), tensors(seed=1)
    averages = ops.polyak_average(source, target, tau)
    assert len(averages) == len(SHAPES)
    for average, new, old in zip(averages, source, target, strict=True):
        np.testing.assert_allclose(average, old + tau * (new.numpy() - old), rtol=1e-5, atol=1e-6)


def test_by_hand() -> None:
    # 0.25 * 8 + 0.75 * 4 = 5: a quarter of the way from target to source.
    np.testing.assert_allclose(ops.polyak_average([tf.constant(8.0)], [tf.constant(4.0)], 0.25), [5.0])


def test_tau_one_and_zero_are_exact_even_when_the_other_is_not_finite() -> None:
    finite, infinite = [tf.constant([0.1, 0.7])], [tf.constant([np.inf, np.nan])]
    np.testing.assert_array_equal(ops.polyak_average(finite, infinite, 1.0)[0], finite[0])
    np.testing.assert_array_equal(ops.polyak_average(infinite, finite, 0.0)[0], finite[0])


def test_repeated_averages_approach_the_source_geometrically() -> None:
    source, target, tau, repeats = [tf.constant(1.0)], [tf.constant(0.0)], 0.1, 20
    for _ in range(repeats):
        target = ops.polyak_average(source, target, tau)
    np.testing.assert_allclose(target[0], 1 - (1 - tau) ** repeats, rtol=1e-5)  # the difference shrinks by the factor 1 - tau


@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0])
def test_variables_are_not_changed_and_the_average_is_not_a_view_of_them(tau) -> None:
    source, target = [tf.Variable([2.0, 4.0])], [tf.Variable([6.0, 8.0])]
    (average,) = ops.polyak_average(source, target, tau)
    expected = tau * np.array([2.0, 4.0]) + (1 - tau) * np.array([6.0, 8.0])
    np.testing.assert_array_equal(source[0], [2.0, 4.0])
    np.testing.assert_array_equal(target[0], [6.0, 8.0])
    source[0].assign_add([1.0, 1.0])
    target[0].assign_add([1.0, 1.0])
    np.testing.assert_allclose(average, expected, rtol=1e-6)


def test_the_average_of_no_tensors_is_empty() -> None:
    assert ops.polyak_average([], [], 0.5) == []


@pytest.mark.parametrize("tau", [-0.01, 1.01, float("nan")])
def test_tau_outside_zero_to_one_is_named(tau) -> None:
    with pytest.raises(ValueError, match="tau="):
        ops.polyak_average(tensors(0), tensors(1), tau)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_different_numbers_of_tensors_are_refused(tau) -> None:
    with pytest.raises(ValueError, match="source has 2 tensors, target has 3"):
        ops.polyak_average(tensors(0)[:2], tensors(1), tau)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_the_first_tensor_whose_shape_differs_is_named(tau) -> None:
    source = tensors(0)
    source[1] = source[1][:1]  # [1], which would broadcast against [2]
    with pytest.raises(ValueError, match=r"tensor 1 has shape \(1,\) in source, \(2,\) in target"):
        ops.polyak_average(source, tensors(1), tau)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0])
def test_the_same_eagerly_traced_and_compiled(tau, mode) -> None:
    count = len(SHAPES)
    assert_same_as_eager(mode, lambda *both: ops.polyak_average(both[:count], both[count:], tau), *tensors(0), *tensors(1))
