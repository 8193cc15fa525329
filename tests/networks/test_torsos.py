"""The ready-made torsos: shapes, the features they read, and the sizes they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.networks import embedding_mlp, mlp, nature_cnn


def model_of(graph_fn, shape, dtype="float32", as_dict=False) -> tf_keras.Model:
    state = tf_keras.Input(shape, dtype=dtype)
    return tf_keras.Model(state, graph_fn("train", {"state": state} if as_dict else state))


@pytest.mark.parametrize("as_dict", [False, True])
def test_an_mlp_is_a_chain_of_dense_layers(as_dict):
    model = model_of(mlp([5, 2], "tanh"), [3], as_dict=as_dict)
    x = np.random.default_rng(0).normal(size=[4, 3]).astype(np.float32)
    found = model(x).numpy()
    first, first_bias, second, second_bias = (variable.numpy() for variable in model.variables)
    assert (first.shape, second.shape) == ((3, 5), (5, 2))
    np.testing.assert_allclose(found, np.tanh(np.tanh(x @ first + first_bias) @ second + second_bias), rtol=1e-5, atol=1e-6)


def test_further_features_are_not_read():
    graph_fn = mlp([5])
    inputs = {"state": tf_keras.Input([3]), "goal": tf_keras.Input([7])}
    model = tf_keras.Model(inputs, graph_fn("train", inputs))
    assert [tuple(variable.shape) for variable in model.variables] == [(3, 5), (5,)]


@pytest.mark.parametrize("as_dict", [False, True])
def test_an_embedding_without_units_is_a_table_of_the_state_index(as_dict):
    model = model_of(embedding_mlp(6, 4, units=()), [], "int32", as_dict)
    (table,) = model.variables
    assert table.shape == (6, 4)
    states = np.array([5, 0, 3, 3], np.int32)
    np.testing.assert_array_equal(model(states), table.numpy()[states])


def test_a_convolutional_torso_maps_bytes_to_512_numbers():
    model = model_of(nature_cnn(), [84, 84, 4], "uint8")
    images = np.random.default_rng(0).integers(0, 256, [2, 84, 84, 4], np.uint8)
    assert model(images).shape == (2, 512)
    # Strides of 4, 2 and 1 without padding: 84 to 20, 9 and 7 pixels.
    sizes = [layer.output.shape[1] for layer in model.layers if isinstance(layer, tf_keras.layers.Conv2D)]
    assert sizes == [20, 9, 7]


def test_a_convolutional_torso_scales_bytes_to_zero_to_one():
    model = model_of(nature_cnn(), [84, 84, 4], "uint8")
    (rescaling,) = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.Rescaling)]
    np.testing.assert_allclose(rescaling(tf.constant([0, 51, 255], tf.uint8)), [0.0, 0.2, 1.0], rtol=1e-6)


@pytest.mark.parametrize(("units", "error"), [([0], ValueError), ([4, -1], ValueError), ([2.5], TypeError)])
def test_an_mlp_refuses_an_invalid_size(units, error):
    with pytest.raises(error, match="units="):
        mlp(units)


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [([None, 8, 8, 1], tf.uint8, r"nature_cnn\(\) for images.*Flatten"), ([None], tf.int32, r"embedding_mlp\(num_states\)")],
)
def test_an_mlp_names_the_torso_for_other_states(shape, dtype, words):
    with pytest.raises(ValueError, match=rf"mlp expects vectors \[B, n\]; got {dtype.name}.*Use {words}"):
        mlp([8])("train", tf_keras.Input(shape[1:], dtype=dtype))


@pytest.mark.parametrize("units", [64, None, "64"])
def test_units_are_a_sequence(units):
    for torso in (mlp, lambda units: embedding_mlp(6, units=units)):
        with pytest.raises(TypeError, match=rf"units={units!r} must be a sequence .* as \(64, 64\)"):
            torso(units)


def test_a_function_that_makes_a_torso_is_not_one():
    with pytest.raises(TypeError, match=r"A torso is what mlp\(\) returns"):
        model_of(mlp, [3])


@pytest.mark.parametrize("activation", ["rlu", 3])
def test_an_unknown_activation_is_refused_at_once(activation):
    for torso in (lambda name: mlp([4], name), lambda name: embedding_mlp(6, activation=name)):
        with pytest.raises(ValueError, match=f"activation={activation!r} must be the name of an activation"):
            torso(activation)
    mlp([4], tf.nn.relu)
    mlp([4], None)


@pytest.mark.parametrize("shape", [[35, 84, 4], [84, 35, 4]])
def test_a_convolutional_torso_refuses_images_that_are_too_small(shape):
    assert model_of(nature_cnn(), [36, 36, 1], "uint8").output.shape == (None, 512)
    with pytest.raises(ValueError, match=r"nature_cnn expects images with sides of at least 36; got \(None, "):
        model_of(nature_cnn(), shape, "uint8")
