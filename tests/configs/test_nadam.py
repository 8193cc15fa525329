"""Nadam takes the steps of its paper, eagerly and in a graph."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl import configs

WEIGHTS = np.array([1.0, -2.0, 0.5])


def nadam(gradients: np.ndarray, weights: np.ndarray, lr: float, beta_1: float, beta_2: float, epsilon: float) -> np.ndarray:
    """Dozat 2015, Algorithm 2 with the momenta of its section on warming up, number by number."""
    m, v, product = np.zeros_like(weights), np.zeros_like(weights), 1.0
    for step, g in enumerate(gradients, start=1):
        mu, next_mu = (beta_1 * (1.0 - 0.5 * 0.96**t) for t in (step, step + 1))
        product *= mu
        m, v = beta_1 * m + (1.0 - beta_1) * g, beta_2 * v + (1.0 - beta_2) * g**2
        m_hat = next_mu * m / (1.0 - product * next_mu) + (1.0 - mu) * g / (1.0 - product)
        weights = weights - lr * m_hat / (np.sqrt(v / (1.0 - beta_2**step)) + epsilon)
    return weights


@pytest.mark.parametrize("traced", [None, False, True], ids=["eager", "graph", "xla"])
def test_nadam_takes_the_steps_of_the_paper_in_a_graph_that_is_traced_twice(traced) -> None:
    """Of two variables: tf-keras's own multiplies its product by each of them."""
    gradients = np.random.default_rng(0).normal(size=[40, 3])
    variables = [tf.Variable(WEIGHTS, dtype=tf.float32) for _ in range(2)]
    optimizer = configs.NadamConfig(learning_rate=0.1).build()
    optimizer.build(variables)

    def step(gradient):
        optimizer.apply_gradients([(gradient, variable) for variable in variables])

    call = step
    if traced is not None:
        for _ in range(2):
            call = tf.function(step, jit_compile=traced, autograph=False)
            call.get_concrete_function(tf.TensorSpec([3]))
    for gradient in gradients:
        call(tf.constant(gradient, tf.float32))
    for variable in variables:
        np.testing.assert_allclose(variable, nadam(gradients, WEIGHTS, 0.1, 0.9, 0.999, 1e-7), rtol=1e-4)


def test_the_product_of_nadams_momenta_is_exact_also_after_many_steps() -> None:
    optimizer = configs.NadamConfig(beta_1=0.9999).build()
    for step in (1, 2, 10, 511, 512, 513, 3_000):
        wanted = np.prod([0.9999 * (1.0 - 0.5 * 0.96**t) for t in range(1, step + 1)])
        np.testing.assert_allclose(optimizer._product(tf.constant(step, tf.int64), tf.float32), wanted, rtol=1e-3)
