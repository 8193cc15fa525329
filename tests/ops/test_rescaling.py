"""The rescaling of values and its inverse, against bisection."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl import ops

VALUES = np.array([-1e6, -300.0, -2.5, -1e-3, 0.0, 1e-6, 0.4, 7.0, 2_000.0, 1e7])


def h(x, slope):
    """Equation 2 of the paper, in float64."""
    return np.sign(x) * (np.sqrt(np.abs(x) + 1.0) - 1.0) + slope * x


@pytest.mark.parametrize("slope", [0.0, 1e-3, 1e-2, 1.0])
def test_it_is_the_papers_equation_and_the_inverse_is_its_inverse(slope):
    rescaled = ops.signed_hyperbolic(tf.constant(VALUES, tf.float32), slope)
    np.testing.assert_allclose(rescaled, h(VALUES, slope), rtol=1e-4)
    for y in (-50.0, -1.5, -1e-4, 0.0, 0.3, 2.0, 40.0):
        low, high = -1e9, 1e9
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if h(middle, slope) < y else (low, middle)
        np.testing.assert_allclose(ops.signed_parabolic(np.float32([y]), slope), [low], rtol=1e-5, atol=1e-9)


def test_small_values_keep_their_digits():
    small = np.float32([1e-7, -3e-6, 2e-5])
    np.testing.assert_allclose(ops.signed_parabolic(ops.signed_hyperbolic(small)), small, rtol=1e-6)


def test_negative_slopes_are_refused():
    for function in (ops.signed_hyperbolic, ops.signed_parabolic):
        with pytest.raises(ValueError, match="slope"):
            function([1.0], -0.1)
