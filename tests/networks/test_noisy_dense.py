"""`NoisyDense` against the paper's formula, number by number."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.networks import NoisyDense, mlp, nature_cnn
from polyrl.networks.drawing import drawing
from polyrl.networks.random_numbers import hashed_normal

X = np.random.default_rng(0).normal(size=[5, 4]).astype(np.float32)


def seeds(base):
    return lambda number: tf.constant([base, number], tf.int64)


def built(units=3, **arguments):
    layer = NoisyDense(units, **arguments)
    layer(X)
    return layer


def f(x):
    return np.sign(x) * np.sqrt(np.abs(x))


def test_the_output_is_equation_9_with_the_noise_of_equations_10_and_11():
    layer = built(activation="tanh")
    with drawing(seeds(7)):
        found = layer(X)
    noise = hashed_normal(4 + 3, [7, 0]).numpy()
    mean, bias, sigma, bias_sigma = (weight.numpy() for weight in layer.weights)
    for row in range(5):
        for j in range(3):
            total = bias[j] + bias_sigma[j] * f(noise[4 + j])
            for i in range(4):
                total += (mean[i, j] + sigma[i, j] * f(noise[i]) * f(noise[4 + j])) * X[row, i]
            assert float(found[row, j]) == pytest.approx(np.tanh(total), rel=1e-4, abs=1e-5)


def test_without_drawing_the_weights_are_their_means():
    layer = built()
    np.testing.assert_allclose(layer(X), X @ layer.kernel.numpy() + layer.bias.numpy(), rtol=1e-5, atol=1e-6)


def test_the_first_weights_are_the_papers():
    layer = NoisyDense(2_000, sigma=0.4)
    layer(np.zeros([1, 16], np.float32))
    for weight in (layer.kernel, layer.bias):
        values = weight.numpy()
        assert np.abs(values).max() <= 0.25
        assert values.std() == pytest.approx(0.25 / np.sqrt(3), rel=0.05)
    np.testing.assert_allclose(layer.kernel_sigma, np.full([16, 2_000], 0.1), rtol=1e-6)
    np.testing.assert_allclose(layer.bias_sigma, np.full([2_000], 0.1), rtol=1e-6)
    assert np.abs(np.corrcoef(layer.kernel.numpy()[0], layer.bias.numpy())[0, 1]) < 0.1


def test_each_layer_and_each_pass_has_noise_of_its_own_and_the_same_seed_the_same():
    first, second = built(4), built(4)
    second.set_weights(first.get_weights())

    def both(base):
        with drawing(seeds(base)):
            return first(X).numpy(), second(X).numpy()

    (a, b), (c, _), (again, _) = both(1), both(2), both(1)
    np.testing.assert_array_equal(a, again)
    assert (a != b).any()
    assert (a != c).any()


def test_the_scales_of_the_noise_are_learned():
    layer = built()
    with tf.GradientTape() as tape, drawing(seeds(3)):
        loss = tf.reduce_sum(layer(X)[:, 1])
    gradients = dict(zip(("kernel", "bias", "kernel_sigma", "bias_sigma"), tape.gradient(loss, layer.weights), strict=True))
    noise = f(hashed_normal(7, [3, 0]).numpy())
    np.testing.assert_allclose(gradients["kernel_sigma"][:, 1], X.sum(axis=0) * noise[:4] * noise[5], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradients["bias_sigma"], [0.0, 5 * noise[5], 0.0], rtol=1e-4)


def test_the_noise_is_that_of_a_standard_normal():
    layer = NoisyDense(400)
    layer(np.zeros([1, 2], np.float32))
    layer.bias.assign(tf.zeros([400]))
    layer.bias_sigma.assign(tf.ones([400]))
    drawn = []
    for base in range(50):
        with drawing(seeds(base)):
            drawn.append(layer(np.zeros([1, 2], np.float32)).numpy())
    squared = np.sign(np.array(drawn)) * np.array(drawn) ** 2
    assert abs(squared.mean()) < 5 / np.sqrt(squared.size)
    assert squared.std() == pytest.approx(1.0, abs=0.03)


def test_it_is_copied_from_its_config():
    layer = built(activation="relu", sigma=0.3, name="noisy")
    copy = NoisyDense.from_config(layer.get_config())
    assert (copy.units, copy.sigma, copy.name) == (3, 0.3, "noisy")
    assert copy.activation is tf_keras.activations.relu


@pytest.mark.parametrize(
    ("torso", "shape", "layers"), [(mlp([4, 3], noisy=True), (4,), 2), (nature_cnn(noisy=True), (84, 84, 4), 1)]
)
def test_torsos_have_noise_in_their_dense_layers(torso, shape, layers):
    inputs = tf_keras.Input(shape)
    model = tf_keras.Model(inputs, torso("train", inputs))
    state = np.random.default_rng(0).normal(size=[2, *shape]).astype(np.float32)
    with drawing(seeds(1)):
        noisy = model(state).numpy()
    assert (noisy != model(state).numpy()).any()
    assert sum(isinstance(layer, NoisyDense) for layer in model.layers) == layers


@pytest.mark.parametrize(("arguments", "error"), [({"units": 0}, ValueError), ({"units": 3, "sigma": -1.0}, ValueError)])
def test_a_wrong_argument_is_refused(arguments, error):
    with pytest.raises(error, match=list(arguments)[-1]):
        NoisyDense(**arguments)
