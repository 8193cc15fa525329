"""The residual torso: shapes, parameters counted by hand, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.networks import NoisyDense, impala_cnn


def model_of(torso, shape, dtype="uint8"):
    inputs = tf_keras.Input(shape, dtype=dtype)
    return tf_keras.Model(inputs, torso("train", inputs))


@pytest.mark.parametrize("width", [1, 2])
def test_it_has_the_layers_of_the_paper(width):
    model = model_of(impala_cnn(width=width), [84, 84, 4])
    filters, before, expected = [width * number for number in (16, 32, 32)], 4, 0
    for number in filters:
        expected += 9 * before * number + number + 4 * (9 * number * number + number)
        before = number
    expected += 6 * 6 * before * 512 + 512  # 84, 42, 21, 11, and 6 after the last pooling.
    assert sum(int(np.prod(variable.shape)) for variable in model.variables) == expected
    assert model.output.shape == (None, 512)


def test_a_residual_part_adds_to_what_it_is_given():
    """With kernels and biases of 0 beyond each block's first convolution, blocks are that convolution and a pooling."""
    model = model_of(impala_cnn([3], 5), [36, 36, 1])
    convolutions = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.Conv2D)]
    assert {layer.scale for layer in convolutions[1:]} == {1.0}
    for layer in convolutions[1:]:
        layer.set_weights([np.zeros(weight.shape) for weight in layer.get_weights()])
    images = np.random.default_rng(0).integers(256, size=[2, 36, 36, 1]).astype(np.uint8)
    x = tf.nn.conv2d(images / np.float32(255.0), convolutions[0].kernel, 1, "SAME") + convolutions[0].bias
    x = tf_keras.layers.MaxPool2D(3, 2, "same")(x)
    x = tf_keras.layers.MaxPool2D(2, 2, "same")(tf_keras.layers.ReLU()(x))
    np.testing.assert_allclose(model(images), model.layers[-1](tf_keras.layers.Flatten()(x)), rtol=1e-4, atol=1e-5)


def test_its_dense_layer_may_have_noise():
    assert isinstance(model_of(impala_cnn(noisy=True), [40, 40, 1]).layers[-1], NoisyDense)


@pytest.mark.parametrize("shape", [[35, 84, 4], [10, 10, 4], [7]])
def test_small_images_are_refused(shape):
    with pytest.raises(ValueError, match=r"impala_cnn expects images .* Use cnn"):
        model_of(impala_cnn(), shape)


@pytest.mark.parametrize(
    ("arguments", "name"), [({"width": 0}, "width"), ({"units": 0}, "units"), ({"filters": 3}, "filters")]
)
def test_a_wrong_argument_is_refused_by_name(arguments, name):
    with pytest.raises((TypeError, ValueError), match=name):
        impala_cnn(**arguments)
