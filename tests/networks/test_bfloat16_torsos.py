"""Torsos for images in bfloat16: their weights and gradients are those of float32, to the precision of bfloat16."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.configs import TorchInitializerConfig
from polyrl.networks import cnn, impala_cnn, mlp, nature_cnn
from polyrl.networks.bias import Dense, add_bias
from polyrl.networks.convolution import Conv2D
from polyrl.networks.layers import layer_dtype

TORSOS = {
    "nature_cnn": (nature_cnn, [84, 84, 4]),
    "nature_cnn, noisy": (functools.partial(nature_cnn, noisy=True), [84, 84, 4]),
    "cnn": (cnn, [30, 30, 3]),
    "cnn of two": (functools.partial(cnn, [4, 8], [6, 5], initializer=TorchInitializerConfig()), [10, 10, 4]),
    "cnn, layer_norm": (functools.partial(cnn, layer_norm=True), [20, 20, 3]),
    "impala_cnn": (functools.partial(impala_cnn, [4, 4], 32), [40, 40, 3]),
}


def network(torso, shape, precision) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(3)
    state = tf_keras.Input(shape, dtype="uint8")
    return tf_keras.Model(state, torso(precision=precision)("train", state))


def gradients(model, images) -> list[np.ndarray]:
    """Of the sum of the squares of all outputs."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(tf.cast(model(images), tf.float32)))
    found = tape.gradient(loss, model.trainable_variables)
    return [None if gradient is None else gradient.numpy() for gradient in found]


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    """The size of the difference, as a share of the size of what is expected."""
    found, expected = (np.asarray(values, np.float64) for values in (found, expected))
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("name", TORSOS)
def test_weights_stay_float32_and_outputs_are_near_those_of_float32(name):
    torso, shape = TORSOS[name]
    plain, ours = network(torso, shape, "float32"), network(torso, shape, "bfloat16")
    assert (plain.output.dtype, ours.output.dtype) == (tf.float32, tf.bfloat16)
    assert {variable.dtype for variable in ours.variables} == {tf.float32}
    for one, other in zip(plain.variables, ours.variables, strict=True):
        assert one.name.rpartition("/")[2] == other.name.rpartition("/")[2]
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    images = np.random.default_rng(0).integers(0, 256, [8, *shape], np.uint8)
    difference = apart(tf.cast(ours(images), tf.float32), plain(images))
    assert 1e-4 < difference < 0.02


@pytest.mark.parametrize("name", TORSOS)
def test_the_gradient_of_every_weight_is_that_of_float32_to_some_percent(name):
    """TensorFlow's own biases would be a third off, as they are summed over all places of all images in bfloat16."""
    torso, shape = TORSOS[name]
    images = np.random.default_rng(1).integers(0, 256, [32, *shape], np.uint8)
    plain, ours = (gradients(network(torso, shape, precision), images) for precision in ("float32", "bfloat16"))
    differences = [apart(mine, exact) for mine, exact in zip(ours, plain, strict=True) if exact is not None]
    assert max(differences) < 0.1, differences


@pytest.mark.parametrize(
    ("kind", "shape"), [(functools.partial(Conv2D, 8, 3), [24, 24, 3]), (functools.partial(Dense, 8), [40])]
)
def test_a_bias_of_our_own_has_the_gradient_that_tensorflows_has_not(kind, shape):
    own = kind(dtype="mixed_bfloat16")
    theirs = getattr(tf_keras.layers, type(own).__name__).from_config(own.get_config())
    rows = np.random.default_rng(2).uniform(0.5, 1.0, [1_000 if len(shape) == 1 else 8, *shape]).astype(np.float32)
    found = {}
    for layer in (own, theirs):
        with tf.GradientTape() as tape:
            outputs = tf.cast(layer(rows), tf.float32)
            loss = tf.reduce_sum(outputs)
        found[layer] = tape.gradient(loss, layer.bias).numpy()
    places = np.prod(outputs.shape[:-1])
    np.testing.assert_allclose(found[own], places, rtol=0.004)
    if not tf.config.list_physical_devices("GPU"):
        assert np.all(found[theirs] < 0.7 * places)  # If this fails, TensorFlow has mended it, and `add_bias` can go.


def test_other_dtypes_add_a_bias_as_tensorflow_does():
    x, bias = np.random.default_rng(3).normal(size=[5, 4]), np.arange(4.0)
    for dtype in (tf.float16, tf.float32, tf.float64):
        found = add_bias(tf.constant(x, dtype), tf.constant(bias, dtype))
        np.testing.assert_array_equal(found, tf.nn.bias_add(tf.constant(x, dtype), tf.constant(bias, dtype)))


@pytest.fixture
def global_bfloat16():
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    tf_keras.mixed_precision.set_global_policy(before)


@pytest.mark.usefixtures("global_bfloat16")
def test_without_a_precision_the_global_policy_decides():
    assert network(cnn, [10, 10, 4], None).output.dtype == tf.bfloat16
    assert network(cnn, [10, 10, 4], "float32").output.dtype == tf.float32
    vectors = tf_keras.Input([4])
    dense = [layer for layer in tf_keras.Model(vectors, mlp()("train", vectors)).layers if hasattr(layer, "kernel")]
    assert [type(layer) for layer in dense] == [Dense, Dense]


@pytest.mark.parametrize("torso", [nature_cnn, cnn, impala_cnn])
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "float16", "bf16", 16])
def test_an_unknown_precision_is_refused_at_once(torso, precision):
    with pytest.raises(ValueError, match=rf"precision={precision!r} must be 'float32' or 'bfloat16'"):
        torso(precision=precision)


def test_the_names_of_other_libraries_arguments_are_told():
    with pytest.raises(TypeError, match="precision, as 'bfloat16'"):
        nature_cnn(dtype="bfloat16")
    assert layer_dtype(None) == {}
