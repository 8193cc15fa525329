"""Initial weights by config, in torsos and heads."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from polyrl.configs import OrthogonalConfig, RandomUniformConfig, TorchInitializerConfig, VarianceScalingConfig
from polyrl.models import DQNModel, QRDQNModel, Scope
from polyrl.networks import mlp, nature_cnn


def layers_of(torso, shape):
    inputs = tf_keras.Input(shape)
    model = tf_keras.Model(inputs, torso("train", inputs))
    return [layer for layer in model.layers if layer.weights]


def test_torchs_are_uniform_by_the_number_of_inputs_kernel_and_bias():
    for layer, inputs in zip(layers_of(mlp([400, 300], initializer=TorchInitializerConfig()), [100]), (100, 400), strict=True):
        limit = 1 / np.sqrt(inputs)
        for weight in layer.get_weights():
            assert np.abs(weight).max() <= limit
            assert weight.std() == pytest.approx(limit / np.sqrt(3), rel=0.15)
            assert abs(weight.mean()) < 0.2 * limit


def test_of_a_convolution_the_number_of_inputs_is_that_of_its_window():
    layers = layers_of(nature_cnn(initializer=TorchInitializerConfig()), (84, 84, 4))
    for layer, inputs in zip(layers, (8 * 8 * 4, 4 * 4 * 32, 3 * 3 * 64, 7 * 7 * 64), strict=True):
        kernel, bias = layer.get_weights()
        assert np.abs(kernel).max() == pytest.approx(1 / np.sqrt(inputs), rel=0.02)
        assert 0 < np.abs(bias).max() <= 1 / np.sqrt(inputs)


@pytest.mark.parametrize(
    ("config", "std"),
    [
        (VarianceScalingConfig(), np.sqrt(2 / 700)),
        (VarianceScalingConfig(2.0, "fan_in"), np.sqrt(2 / 400)),
        (VarianceScalingConfig(1.0, "fan_in", "truncated_normal"), np.sqrt(1 / 400)),
        (RandomUniformConfig(0.3), 0.3 / np.sqrt(3)),
    ],
)
def test_the_variance_is_that_of_the_config_and_the_bias_zero(config, std):
    (layer,) = layers_of(mlp([300], initializer=config), [400])
    kernel, bias = layer.get_weights()
    assert kernel.std() == pytest.approx(std, rel=0.05)
    assert not bias.any()


def test_orthogonal_columns_have_the_gain_as_their_length():
    (layer,) = layers_of(mlp([30], initializer=OrthogonalConfig(2.0)), [40])
    kernel = layer.get_weights()[0]
    np.testing.assert_allclose(kernel.T @ kernel, 4.0 * np.eye(30), atol=1e-4)


@pytest.mark.parametrize("model_class", [DQNModel, QRDQNModel])
def test_heads_have_the_initializer_of_the_model(model_class):
    scope = Scope()
    with scope.active():
        model = model_class("eval", mlp([200]), 4, 3, head_initializer=TorchInitializerConfig(), head_units=(100,))
    model({"state": np.zeros([1, 4], np.float32)})
    weights = scope.parts["Model/online"].labelled_variables()
    for name, inputs in (("advantage_hidden", 200), ("advantage", 100), ("value", 100)):
        for part in ("kernel", "bias"):
            largest = np.abs(weights[f"{name}/{part}"].numpy()).max()
            assert 0 < largest <= 1 / np.sqrt(inputs)


@pytest.mark.parametrize(
    ("config", "arguments", "name"),
    [
        (VarianceScalingConfig, {"scale": 0.0}, "scale"),
        (VarianceScalingConfig, {"mode": "fan"}, "mode"),
        (VarianceScalingConfig, {"distribution": "normal"}, "distribution"),
        (RandomUniformConfig, {"limit": -1.0}, "limit"),
    ],
)
def test_a_value_that_is_not_valid_is_refused_by_name(config, arguments, name):
    with pytest.raises(ValueError, match=name):
        config(**arguments)


def test_an_initializer_of_noisy_layers_has_no_effect():
    with pytest.raises(ValueError, match="initializer"):
        mlp([4], noisy=True, initializer=TorchInitializerConfig())
    with pytest.raises(ValueError, match="head_initializer"):
        DQNModel("train", mlp([4]), 4, 3, noisy=True, head_initializer=TorchInitializerConfig())
    with pytest.raises(TypeError, match="head_initializer"):
        DQNModel("train", mlp([4]), 4, 3, head_initializer="torch")
