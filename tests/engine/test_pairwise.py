"""The quantile Huber loss in a loop gives what the plain formula gives, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl import ops
from polyrl.engine import pairwise

CALLS = {
    "eager": lambda function: function,
    "graph": lambda function: tf.function(function, autograph=False),
    "xla": lambda function: tf.function(function, autograph=False, jit_compile=True),
}


def loss_and_gradient(function, target, quantiles, fractions, kappa):
    with tf.GradientTape() as tape:
        tape.watch([target, quantiles])
        loss = function(target, quantiles, tf.stop_gradient(fractions), kappa)
        total = tf.reduce_sum(loss * tf.range(1.0, 1.0 + loss.shape[0]))
    return loss, tape.gradient(total, quantiles)


@pytest.mark.default_cases(10)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kappa", [1.0, 0.3, 0.0])
@pytest.mark.parametrize(("samples", "count"), [(1, 1), (3, 5), (4, 4), (8, 50), (50, 7)])
def test_agrees_with_the_plain_formula(call, kappa, samples, count):
    generator = np.random.default_rng(samples)
    target, quantiles = (tf.constant(generator.normal(size=[9, n]), tf.float32) for n in (samples, count))
    fractions = tf.constant(generator.uniform(size=[9, count]), tf.float32)
    fast = CALLS[call](lambda *given: loss_and_gradient(pairwise.quantile_huber_loss, *given, kappa))
    plain = loss_and_gradient(ops.quantile_huber_loss, target, quantiles, fractions, kappa)
    for found, expected in zip(fast(target, quantiles, fractions), plain, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kappa", [1.0, 0.0])
def test_where_errors_are_zero_or_as_large_as_kappa(kappa):
    target, quantiles = tf.constant([[1.0, 2.0, 0.0]]), tf.constant([[1.0, 0.0, 1.0]])
    fractions = tf.constant([[0.2, 0.5, 0.9]])
    fast, plain = (
        loss_and_gradient(function, target, quantiles, fractions, kappa)
        for function in (pairwise.quantile_huber_loss, ops.quantile_huber_loss)
    )
    for found, expected in zip(fast, plain, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_targets_have_no_gradient():
    target, quantiles = tf.constant([[0.3, -0.2]]), tf.constant([[0.5, 0.1]])
    with tf.GradientTape() as tape:
        tape.watch(target)
        loss = tf.reduce_sum(pairwise.quantile_huber_loss(target, quantiles, tf.constant([[0.25, 0.75]])))
    assert tape.gradient(loss, target) is None


def test_what_is_not_finite_stays_so():
    loss = pairwise.quantile_huber_loss(tf.constant([[np.inf, 0.0], [1.0, np.nan]]), tf.zeros([2, 1]), tf.fill([2, 1], 0.5))
    assert not np.isfinite(loss).any()
