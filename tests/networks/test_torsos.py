"""The ready-made torsos: shapes, the features they read, and the sizes they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.configs import TorchInitializerConfig
from polyrl.networks import Conv2D, NoisyDense, cnn, embedding_mlp, impala_cnn, mlp, nature_cnn


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
    images = np.random.default_rng(0).integers(0, 256, [2, 84, 84, 4], np.uint8)
    first, *others = [layer for layer in model.layers if isinstance(layer, Conv2D)]
    expected = tf.nn.relu(tf.nn.conv2d(images / np.float32(255.0), first.kernel, 4, "VALID") + first.bias)
    np.testing.assert_allclose(first(images), expected, rtol=1e-5, atol=1e-6)
    assert [layer.scale for layer in others] == [1.0, 1.0]


def test_a_convolutional_torso_can_be_saved_by_keras(tmp_path):
    model = model_of(nature_cnn(), [84, 84, 4], "uint8")
    model.save(tmp_path / "torso.keras")
    images = np.random.default_rng(0).integers(0, 256, [2, 84, 84, 4], np.uint8)
    np.testing.assert_array_equal(tf_keras.models.load_model(tmp_path / "torso.keras")(images), model(images))


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


@pytest.mark.parametrize("torso", [nature_cnn, cnn, impala_cnn])
@pytest.mark.parametrize("shape", [[3, 84, 84], [1, 40, 36], [4, 36, 100]])
def test_images_with_the_channels_first_are_told_so(torso, shape):
    with pytest.raises(ValueError, match=rf"^{torso.__name__} expects .*look like \[B, channels, .*moveaxis"):
        model_of(torso(), shape, "uint8")


def test_boards_with_many_channels_or_few_rows_are_images():
    for shape in ([4, 5, 100], [5, 84, 84], [4, 31, 31], [3, 100, 4]):
        assert model_of(cnn([4], [8], kernel_size=2), shape, "uint8").output.shape == (None, 8)


# Small images. ----------------------------------------------------------------------------------------------------------


def images(dtype: str, shape=(2, 10, 10, 4), high: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, shape).astype(dtype)


def by_hand(model: tf_keras.Model, x: np.ndarray) -> np.ndarray:
    """One convolution, window by window, and one dense layer."""
    kernel, bias, weights, dense_bias = (variable.numpy() for variable in model.variables)
    side, height, width = kernel.shape[0], x.shape[1], x.shape[2]
    maps = np.zeros([len(x), height - side + 1, width - side + 1, kernel.shape[-1]])
    for row in range(maps.shape[1]):
        for column in range(maps.shape[2]):
            window = x[:, row : row + side, column : column + side]
            maps[:, row, column] = np.tensordot(window, kernel, axes=3) + bias
    flat = np.maximum(maps, 0.0).reshape(len(x), -1)
    return np.maximum(flat @ weights + dense_bias, 0.0)


@pytest.mark.parametrize(("dtype", "high", "unit"), [("bool", 2, 1), ("uint8", 256, 255), ("float32", 9, 1), ("int32", 9, 1)])
def test_a_small_torso_is_a_convolution_and_a_dense_layer_on_quantities(dtype, high, unit):
    model = model_of(cnn(), [10, 10, 4], dtype)
    assert [tuple(variable.shape) for variable in model.variables] == [(3, 3, 4, 16), (16,), (8 * 8 * 16, 128), (128,)]
    x = images(dtype, high=high)
    np.testing.assert_allclose(model(x), by_hand(model, x.astype(np.float64) / unit), rtol=1e-4, atol=1e-5)


def test_categories_become_numbers_one_of_which_is_one():
    model = model_of(cnn([5], [3], categories=11), [7, 7, 3], "uint8")
    assert tuple(model.variables[0].shape) == (3, 3, 33, 5)
    x = images("uint8", (2, 7, 7, 3), 11)
    np.testing.assert_allclose(model(x), by_hand(model, np.eye(11)[x].reshape(2, 7, 7, 33)), rtol=1e-4, atol=1e-5)
    model = model_of(cnn([5], [3], categories=4), [7, 7, 3], "uint8")
    known = (np.eye(11)[:, :4])[x].reshape(2, 7, 7, 12)  # Categories 4 to 10 are none of them.
    np.testing.assert_allclose(model(x), by_hand(model, known), rtol=1e-4, atol=1e-5)


def test_a_small_torso_may_have_more_layers_noise_and_normalisation():
    model = model_of(cnn([4, 6], [9, 5], kernel_size=2, noisy=True, layer_norm=True), [10, 8, 2], "bool")
    kinds = [type(layer) for layer in model.layers if layer.weights]
    convolution, norm = Conv2D, tf_keras.layers.LayerNormalization
    assert kinds == [convolution, norm, convolution, norm, NoisyDense, norm, NoisyDense, norm]
    assert [layer.output.shape[1:3] for layer in model.layers if isinstance(layer, convolution)] == [(9, 7), (8, 6)]
    assert model(images("bool", (2, 10, 8, 2))).shape == (2, 5)
    first = model.layers[[type(layer) for layer in model.layers].index(norm)]
    normalised = tf_keras.Model(model.input, first.output)(images("bool", (2, 10, 8, 2))).numpy()
    np.testing.assert_allclose(normalised.mean(axis=-1), 0.0, atol=1e-5)  # Over the channels of each place.


def test_initial_weights_of_a_small_torso_are_those_of_the_config():
    model = model_of(cnn(initializer=TorchInitializerConfig()), [10, 10, 4], "bool")
    for variable, inputs in zip(model.variables, (36, 36, 1024, 1024), strict=True):
        assert 0.5 / np.sqrt(inputs) < np.abs(variable.numpy()).max() <= 1 / np.sqrt(inputs)


@pytest.mark.parametrize(
    ("torso", "shape", "dtype", "words"),
    [
        (cnn(), [4], "float32", r"got float32 \(None, 4\)\. Use mlp\(\) for vectors"),
        (cnn(), [], "int32", r"Use embedding_mlp\(num_states\) for discrete states"),
        (cnn(), [10, 5], "float32", r"Use mlp\(flatten=True\) for boards without channels"),
        (cnn([8, 8]), [10, 4, 3], "bool", r"sides of at least 5 for 2 convolutions with kernel_size=3; got \(None, 10, 4"),
        (cnn(categories=11), [7, 7, 3], "float32", r"categories=11 expects integers; got float32 \(None, 7, 7, 3\)"),
    ],
)
def test_a_small_torso_says_what_it_cannot_take(torso, shape, dtype, words):
    with pytest.raises(ValueError, match=f"cnn .*{words}"):
        model_of(torso, shape, dtype)


def test_a_small_torso_refuses_wrong_arguments_at_once():
    arguments = [{"filters": 16}, {"units": [0]}, {"kernel_size": 0}, {"categories": 1}, {"activation": "rlu"}]
    for wrong in arguments:
        with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
            cnn(**wrong)


def test_an_mlp_flattens_boards_if_told():
    model = model_of(mlp([5], flatten=True), [10, 5])
    assert tuple(model.variables[0].shape) == (50, 5)
    assert tuple(model_of(mlp([5], flatten=True), [3]).variables[0].shape) == (3, 5)


def test_dense_layers_after_an_embedding_may_have_noise_and_normalisation():
    model = model_of(embedding_mlp(6, 4, [5], noisy=True, layer_norm=True), [], "int32")
    kinds = [type(layer) for layer in model.layers if layer.weights]
    assert kinds == [tf_keras.layers.Embedding, NoisyDense, tf_keras.layers.LayerNormalization]
    with pytest.raises(ValueError, match="has no effect with noisy=True"):
        embedding_mlp(6, noisy=True, initializer=TorchInitializerConfig())
