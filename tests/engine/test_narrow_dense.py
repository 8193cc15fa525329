"""`NarrowDense` against the layer that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.engine.narrow_dense import NarrowDense

pytestmark = pytest.mark.parametrize("units", [1, 2, 6, 7])


def _layers(units: int, **arguments: object) -> tuple[tf_keras.layers.Layer, tf_keras.layers.Layer, tf.Tensor]:
    """The layer, tf-keras' own with the same weights, and inputs."""
    inputs = tf.random.stateless_normal([7, 5], [units, 1])
    narrow, dense = NarrowDense(units, **arguments), tf_keras.layers.Dense(units, **arguments)
    narrow(inputs), dense(inputs)
    weights = [np.random.default_rng(units).normal(size=weight.shape) for weight in narrow.get_weights()]
    narrow.set_weights(weights)
    dense.set_weights(weights)
    return narrow, dense, inputs


@pytest.mark.default_cases(12)
@pytest.mark.parametrize("arguments", [{}, {"use_bias": False}, {"activation": "tanh"}], ids=["plain", "no-bias", "tanh"])
@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
def test_outputs_and_gradients_are_those_of_a_dense_layer(units: int, arguments: dict[str, object], jit: bool) -> None:
    *layers, inputs = _layers(units, **arguments)

    def differentiate(layer: tf_keras.layers.Layer) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(tf.sin(outputs) * tf.range(1.0, 8.0)[:, tf.newaxis])
        return [outputs, *tape.gradient(loss, [inputs, *layer.trainable_variables])]

    narrow, dense = (tf.function(lambda layer=layer: differentiate(layer), jit_compile=jit)() for layer in layers)
    for actual, expected in zip(narrow, dense, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_second_derivatives_are_those_of_a_dense_layer(units: int) -> None:
    *layers, inputs = _layers(units)

    def differentiate(layer: tf_keras.layers.Layer) -> list[tf.Tensor]:
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                loss = tf.reduce_sum(layer(inputs, training=True) ** 3)
            penalty = tf.reduce_sum(inner.gradient(loss, inputs) ** 2)
        return list(outer.gradient(penalty, [inputs, *layer.trainable_variables]))

    for actual, expected in zip(*(differentiate(layer) for layer in layers), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_more_dimensions_go_the_way_of_a_dense_layer(units: int) -> None:
    narrow, dense, inputs = _layers(units)
    cube = tf.stack([inputs, -inputs])
    np.testing.assert_allclose(narrow(cube), dense(cube))
