"""The large-margin loss of DQfD against a loop over rows and actions, examples by hand and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from ops_testing import MODES, SEEDS, assert_same_as_eager, finite_difference, gradients, transitions

from polyrl import ops


def loop(q: np.ndarray, action: np.ndarray, margin: float) -> np.ndarray:
    """Equation 3 of the paper, literally."""
    losses = []
    for row, expert in zip(q, action, strict=True):
        with_margins = [value + (0.0 if a == expert else margin) for a, value in enumerate(row)]
        losses.append(max(with_margins) - row[expert])
    return np.array(losses)


@pytest.mark.parametrize("margin", [0.0, 0.8, 3.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_it_equals_the_loop(seed, margin):
    data = transitions(seed)
    expected = loop(data.q.numpy(), data.action.numpy(), margin)
    assert 0 < np.count_nonzero(expected) <= len(expected)
    np.testing.assert_allclose(ops.large_margin_loss(data.q, data.action, margin), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ([[2.0, 1.0, 0.0]], 0.0),  # Larger than the next by 1, which is more than 0.8.
        ([[2.0, 1.5, 0.0]], 0.3),  # Larger by 0.5: 0.3 short of the margin.
        ([[2.0, 2.0, 2.0]], 0.8),  # Equal values fall short by the whole margin.
        ([[1.0, 1.5, 3.0]], 2.8),  # The largest of the other values counts.
    ],
)
def test_by_hand_with_the_papers_margin(q, expected):
    np.testing.assert_allclose(ops.large_margin_loss(tf.constant(q), tf.constant([0])), [expected], rtol=1e-6)


def test_the_gradient_is_that_of_finite_differences():
    data = transitions(3, dtype=tf.float64)
    action = data.action.numpy()
    (gradient,) = gradients(lambda q: ops.large_margin_loss(q, data.action, 0.8), data.q)
    np.testing.assert_allclose(gradient, finite_difference(lambda q: loop(q, action, 0.8).sum(), data.q.numpy()), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_it_is_the_same_eagerly_traced_and_compiled(mode):
    data = transitions(1)
    assert_same_as_eager(mode, ops.large_margin_loss, data.q, data.action)


def test_shapes_that_would_broadcast_are_refused():
    data = transitions(0)
    with pytest.raises(ValueError, match=r"^action has shape"):
        ops.large_margin_loss(data.q, data.action[:, tf.newaxis])
    with pytest.raises(ValueError, match=r"^q has shape"):
        ops.large_margin_loss(data.q[0], data.action)
    with pytest.raises(ValueError, match="action has shape"):
        ops.large_margin_loss(data.q, data.action[:1])
