"""The projection in a loop gives what the plain formula gives."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl import ops
from polyrl.engine.projection import project_distribution

CALLS = {
    "eager": lambda function: function,
    "graph": lambda function: tf.function(function, autograph=False),
    "xla": lambda function: tf.function(function, autograph=False, jit_compile=True),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("low", "high", "atoms"), [(-10.0, 10.0, 51), (0.0, 1.0, 2), (-3.0, 17.5, 7)])
def test_agrees_with_the_plain_formula(call, low, high, atoms):
    generator = np.random.default_rng(atoms)
    support = ops.support(low, high, atoms)
    positions = tf.constant(generator.uniform(low - 3.0, high + 3.0, [9, atoms]), tf.float32)
    probabilities = tf.nn.softmax(tf.constant(generator.normal(size=[9, atoms]), tf.float32))
    fast = CALLS[call](project_distribution)(positions, probabilities, support)
    plain = ops.project_distribution(positions, probabilities, support)
    np.testing.assert_allclose(fast, plain, atol=2e-6)
    np.testing.assert_allclose(tf.reduce_sum(fast, axis=1), np.ones(9), rtol=1e-5)


def test_has_no_gradients():
    support = ops.support(-1.0, 1.0, 5)
    positions, probabilities = tf.constant([[0.3, -0.2]]), tf.constant([[0.5, 0.5]])
    with tf.GradientTape() as tape:
        tape.watch([positions, probabilities])
        total = tf.reduce_sum(project_distribution(positions, probabilities, support) ** 2)
    assert tape.gradient(total, [positions, probabilities]) == [None, None]
