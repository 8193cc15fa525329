"""The layers of IQN against what they replace: cosines by a series, a dense layer on products."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.networks import NoisyDense, QuantileEmbedding
from polyrl.networks.drawing import drawing
from polyrl.networks.product_dense import ProductDense
from polyrl.networks.quantile_embedding import cosine_waves

RNG = np.random.default_rng(0)
X = RNG.normal(size=[5, 4]).astype(np.float32)
E = RNG.normal(size=[5, 6, 4]).astype(np.float32)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("count", [1, 7, 64, 200])
def test_waves_are_cosines(jit, count):
    x = np.concatenate([[0.0, 0.25, 0.5, 1.0 - 2.0**-24, 1.0], RNG.uniform(size=500)]).astype(np.float32)
    found = tf.function(lambda x: cosine_waves(x, count), jit_compile=jit)(x)
    expected = np.cos(np.pi * x.astype(np.float64)[:, None] * np.arange(count))
    # float32 rounds i x by up to 2^-24 of it, which moves the angle by pi times as much.
    np.testing.assert_allclose(found, expected, atol=1e-6 + np.pi * count * 2.0**-24)


@pytest.mark.parametrize("units", [1, 3, 9])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_a_dense_layer_on_products_is_a_dense_layer_on_the_products(units, activation):
    fast, plain = ProductDense(units, activation), tf_keras.layers.Dense(units, activation)
    x, embeddings = tf.constant(X), tf.constant(E)

    def both(layer, inputs):
        with tf.GradientTape() as tape:
            tape.watch([x, embeddings])
            outputs = inputs()
            total = tf.reduce_sum(outputs * tf.cast(tf.range(6), tf.float32))
        return outputs, tape.gradient(total, [x, embeddings, *layer.trainable_variables])

    fast([x, embeddings])
    plain(embeddings)
    weights = [RNG.normal(size=[4, units]), RNG.normal(size=[units])]
    fast.set_weights(weights)
    plain.set_weights(weights)
    assert [v.name.split("/")[-1] for v in fast.weights] == [v.name.split("/")[-1] for v in plain.weights]
    found = both(fast, lambda: fast([x, embeddings]))
    expected = both(plain, lambda: tf.transpose(plain(x[:, tf.newaxis, :] * embeddings), [0, 2, 1]))
    assert found[0].shape == (5, units, 6)
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_its_initial_weights_and_its_shape_are_those_of_a_dense_layer():
    inputs = [tf_keras.Input([32]), tf_keras.Input([6, 32])]
    layer = ProductDense(200)
    assert layer(inputs).shape == (None, 200, 6)
    assert layer.compute_output_shape([shape.shape for shape in inputs]) == tf.TensorShape([None, 200, 6])
    assert np.abs(layer.kernel).max() <= np.sqrt(6 / 232)
    assert np.asarray(layer.kernel).std() == pytest.approx(np.sqrt(2 / 232), rel=0.03)
    copy = ProductDense.from_config(layer.get_config())
    assert (copy.units, copy.name) == (200, layer.name)


def test_an_embedding_without_the_product_is_its_other_factor():
    whole = QuantileEmbedding(4, 3, 7)
    whole(X)
    factor = QuantileEmbedding.from_config({**whole.get_config(), "product": False})
    factor(X)
    factor.set_weights(whole.get_weights())
    embedded, fractions = factor(X)
    product, same = whole(X)
    np.testing.assert_array_equal(fractions, same)
    np.testing.assert_allclose(product, X[:, None, :] * embedded.numpy(), rtol=1e-6)


def test_a_noisy_layer_treats_each_row_of_more_dimensions_alike():
    layer = NoisyDense(3, "relu")
    layer(E)

    def run(inputs):
        with drawing(lambda number: tf.constant([7, number], tf.int64)):
            return layer(inputs)

    found = run(E)
    assert found.shape == (5, 6, 3)
    np.testing.assert_allclose(found[2], run(E[2]), rtol=1e-5, atol=1e-6)


def test_a_wrong_product_is_refused():
    with pytest.raises(TypeError, match="product"):
        QuantileEmbedding(product="yes")
