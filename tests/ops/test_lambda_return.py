"""`lambda_return` against its recursion and its definition as a mean of n-step returns."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl import ops

RNG = np.random.default_rng(0)


def naive(reward, discount, truncated, value, trace):
    rows, steps = reward.shape
    returns = np.zeros([rows, steps])
    for row in range(rows):
        for t in reversed(range(steps)):
            if t == steps - 1 or truncated[row, t]:
                after = value[row, t]
            else:
                after = (1 - trace) * value[row, t] + trace * returns[row, t + 1]
            returns[row, t] = reward[row, t] + discount[row, t] * after
    return returns


@pytest.mark.parametrize("trace", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 13])
def test_it_is_the_recursion(trace, steps):
    reward, value = RNG.normal(size=[5, steps]), RNG.normal(size=[5, steps])
    discount = np.where(RNG.random([5, steps]) < 0.2, 0.0, 0.9)
    truncated = RNG.random([5, steps]) < 0.2
    found = ops.lambda_return(reward, discount, truncated, value, trace)
    np.testing.assert_allclose(found, naive(reward, discount, truncated, value, trace), rtol=1e-4, atol=1e-5)


def test_it_is_the_weighted_mean_of_the_n_step_returns():
    """Sutton and Barto 2018, eq. 12.3, of an episode that does not end."""
    steps, trace, gamma = 6, 0.7, 0.9
    reward, value = RNG.normal(size=steps), RNG.normal(size=steps)
    n_step = [sum(gamma**k * reward[k] for k in range(n)) + gamma**n * value[n - 1] for n in range(1, steps + 1)]
    expected = (1 - trace) * sum(trace ** (n - 1) * n_step[n - 1] for n in range(1, steps)) + trace ** (steps - 1) * n_step[-1]
    found = ops.lambda_return([reward], np.full([1, steps], gamma), np.zeros([1, steps]), [value], trace)
    assert float(found[0, 0]) == pytest.approx(expected, rel=1e-5)


def test_no_gradient_flows():
    value = tf.Variable(RNG.normal(size=[2, 3]).astype(np.float32))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(ops.lambda_return(np.ones([2, 3]), np.ones([2, 3]), np.zeros([2, 3]), value, 0.5))
    assert tape.gradient(total, value) is None


@pytest.mark.parametrize("trace", [-0.1, 1.1])
def test_a_trace_decay_out_of_range_is_refused(trace):
    with pytest.raises(ValueError, match="trace_decay"):
        ops.lambda_return(np.ones([2, 3]), np.ones([2, 3]), np.zeros([2, 3]), np.ones([2, 3]), trace)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="next_value"):
        ops.lambda_return(np.ones([2, 3]), np.ones([2, 3]), np.zeros([2, 3]), np.ones([2, 1]), 0.5)
