"""Convolutions as products of patches, against a loop in NumPy and tf-keras's layer; and which convolutions keep XLA out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.engine import patches
from polyrl.engine.functional import Functional
from polyrl.estimators import threads
from polyrl.models import DQNModel
from polyrl.models.scope import Scope
from polyrl.networks import Conv2D
from polyrl.networks.convolution import keeps_out_xla

SIZES = [
    ((10, 10, 4), (3, 3), (1, 1)),
    ((7, 9, 2), (3, 2), (2, 3)),
    ((5, 4, 1), (5, 4), (1, 1)),
    ((6, 6, 3), (1, 1), (2, 2)),
    ((6, 7, patches.FEW), (3, 2), (1, 2)),
    ((6, 7, patches.FEW + 1), (3, 2), (1, 2)),
]


def carried(function, *arguments, jit=True):
    """What `function` gives in a call that carries a run's state, as those that XLA compiles do."""

    @tf.function(autograph=False, jit_compile=jit)
    def call(*given):
        with Functional([tf.Module()]).given([]):
            return function(*given)

    return call(*arguments)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(("image", "kernel", "strides"), SIZES)
def test_each_place_is_the_sum_of_products(image, kernel, strides, jit):
    rng = np.random.default_rng(1)
    images, weights = rng.normal(size=(3, *image)), rng.normal(size=(*kernel, image[-1], 5))
    rows, columns = ((image[i] - kernel[i]) // strides[i] + 1 for i in range(2))
    expected = np.zeros((3, rows, columns, 5))
    for row in range(rows):
        for column in range(columns):
            top, left = row * strides[0], column * strides[1]
            patch = images[:, top : top + kernel[0], left : left + kernel[1]]
            expected[:, row, column] = np.einsum("bhwc,hwcf->bf", patch, weights)
    call = tf.function(lambda x, w: patches.convolve(x, w, strides), jit_compile=jit)
    found = call(tf.constant(images, tf.float32), tf.constant(weights, tf.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert patches.places(image, kernel, strides) == [rows, columns]
    assert patches.numbers(image, kernel, strides) == expected[0, ..., 0].size * np.prod(kernel) * image[-1]


@pytest.mark.parametrize("channels", [3, patches.FEW + 1])
@pytest.mark.parametrize("arguments", [{}, {"activation": "tanh"}, {"use_bias": False}, {"strides": 2}], ids=str)
def test_outputs_and_gradients_are_those_of_tf_keras(arguments, channels):
    images = tf.random.stateless_normal([4, 8, 7, channels], [1, 2])
    ours, theirs = (kind(5, 3, **arguments) for kind in (Conv2D, tf_keras.layers.Conv2D))
    ours(images), theirs(images)
    weights = [np.random.default_rng(2).normal(0.0, 0.2, weight.shape) for weight in theirs.get_weights()]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    assert ours.is_small

    def differentiate(layer):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images)
            loss = tf.reduce_sum(tf.sin(outputs * tf.range(1.0, 6.0)))
        return [outputs, *tape.gradient(loss, [images, *layer.trainable_variables])]

    expected = differentiate(theirs)
    for found in (differentiate(ours), carried(lambda: differentiate(ours)), carried(lambda: differentiate(ours), jit=False)):
        assert len(found) == len(expected)
        for actual, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", ["uint8", "float32", "bool"])
def test_a_scale_multiplies_the_images(kind, dtype):
    """As if they were multiplied before; also in what XLA compiles, and in the gradients."""
    # Without instructions for bfloat16 TensorFlow sums gradients in it, over all places: of many they are some percent off.
    shape = [4, 8, 7, 3] if dtype == "float32" else [2, 5, 4, 3]
    images = tf.cast(tf.random.stateless_uniform(shape, [1, 2], maxval=250.0), kind)
    scaled, plain = Conv2D(5, 3, scale=0.02, dtype=dtype), Conv2D(5, 3)
    scaled(images), plain(tf.cast(images, tf.float32))
    plain.set_weights([weight + 0.1 for weight in scaled.get_weights()])
    scaled.set_weights(plain.get_weights())

    def differentiate(layer, inputs):
        with tf.GradientTape() as tape:
            outputs = layer(inputs)
            loss = tf.reduce_mean(tf.cast(outputs, tf.float32) * tf.range(1.0, 6.0))
        return [outputs, *tape.gradient(loss, layer.trainable_variables)]

    expected = differentiate(plain, tf.cast(images, tf.float32) * 0.02)
    tolerance = 1e-5 if dtype == "float32" else 0.02
    for found in (differentiate(scaled, images), carried(lambda: differentiate(scaled, images))):
        for actual, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(tf.cast(actual, tf.float32), wanted, rtol=tolerance, atol=tolerance)
    assert scaled.compute_dtype == found[0].dtype


def test_a_scale_in_float16_does_not_overflow():
    """The sum over all places of bytes times 1 would, before it is multiplied by 1/255."""
    images = tf.fill([1, 40, 40, 1], tf.constant(200, tf.uint8))
    layer = Conv2D(1, 1, scale=1 / 255, dtype="mixed_float16")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(images))
    np.testing.assert_allclose(tape.gradient(loss, layer.kernel)[0, 0, 0, 0], 1_600 * 200 / 255, rtol=1e-2)


def test_a_scale_is_a_number_and_part_of_the_config():
    with pytest.raises(TypeError, match="scale='1/255' must be a number"):
        Conv2D(2, 3, scale="1/255")
    layer = Conv2D.from_config(Conv2D(2, 3, scale=0.5).get_config())
    assert (layer.scale, layer.filters, Conv2D(2, 3).scale) == (0.5, 2, 1.0)


def test_it_is_a_product_only_where_state_is_carried():
    layer = Conv2D(2, 3)
    layer(tf.zeros([1, 5, 5, 1]))
    kinds = []

    def noted(images):
        outputs = layer(images)
        kinds.append({operation.type for operation in outputs.graph.get_operations()})
        return outputs

    tf.function(noted)(tf.zeros([1, 5, 5, 1]))
    carried(noted, tf.zeros([1, 5, 5, 1]))
    assert [kind & {"Conv2D", "MatMul"} for kind in kinds] == [{"Conv2D"}, {"MatMul"}]


@pytest.mark.parametrize("shape", [(2, 4, 5, 5, 1), (1, 50, 50, 1), None])
def test_other_images_than_it_was_built_for_are_convolved(shape):
    layer, theirs = Conv2D(2, 3), tf_keras.layers.Conv2D(2, 3)
    for each in (layer, theirs):
        each(tf.zeros([1, 5, 5, 1]))
    theirs.set_weights(layer.get_weights())
    images = tf.random.stateless_normal([1, 5, 5, 1] if shape is None else shape, [1, 2])

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1]) if shape is None else tf.TensorSpec(shape)])
    def call(x):
        with Functional([tf.Module()]).given([]):
            outputs = layer(x)
        assert "Conv2D" in {operation.type for operation in outputs.graph.get_operations()}
        return outputs

    np.testing.assert_allclose(call(images), theirs(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("convolves", [True, False])
def test_in_bfloat16_the_bias_is_that_of_each_filter_also_with_channels_first(convolves):
    layer = Conv2D(5, 3, data_format="channels_first", dtype="mixed_bfloat16")
    layer.build([None, 1, 7, 7])
    layer.set_weights([np.zeros([3, 3, 1, 5]), np.arange(5.0)])
    assert not layer.is_small
    if not convolves:
        layer.convolution_op = lambda images, kernel: tf.ones([1, 5, 5, 5], tf.bfloat16)
    try:
        outputs = tf.function(lambda x: layer(x))(tf.zeros([1, 1, 7, 7]))
    except tf.errors.UnimplementedError:
        assert convolves
        pytest.skip("TensorFlow's convolution with channels first needs a GPU, or a processor for which oneDNN has one.")
    np.testing.assert_array_equal(tf.cast(outputs, tf.float32)[0, :, 0, 0], np.arange(5.0) + (not convolves))


LARGEST = (37, 37, 1)  # 35 x 35 places of 9 numbers are 11,025.


@pytest.mark.parametrize(
    ("arguments", "image", "is_small"),
    [
        ({}, (10, 10, 33), False),
        ({}, (10, 10, 10), True),
        ({}, LARGEST, False),
        ({}, (36, 37, 1), True),
        ({"strides": 2}, LARGEST, True),
        ({"padding": "same"}, (10, 10, 4), False),
        ({"dilation_rate": 2}, (10, 10, 4), False),
        ({"groups": 2}, (10, 10, 4), False),
        ({"dtype": "mixed_bfloat16"}, (10, 10, 4), False),
        ({"dtype": "float64"}, (10, 10, 4), False),
        ({}, (None, None, 4), False),
    ],
)
def test_what_is_small(arguments, image, is_small):
    layer = Conv2D(4, 3, **arguments)
    layer(tf_keras.Input(image))
    assert layer.is_small is is_small
    assert keeps_out_xla([layer]) is not is_small


class Halves(tf_keras.layers.Layer):
    """Has a convolution that it does not call."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = Conv2D(3, 2), tf_keras.layers.Conv2D(2, 2)

    def call(self, inputs):
        return self.used(inputs)


def test_a_convolution_that_nobody_calls_counts_for_nothing(monkeypatch):
    monkeypatch.setattr(threads, "threads_in_use", lambda: 2)

    def torso(mode, inputs):
        return tf_keras.layers.Flatten()(Halves()(inputs["state"]))

    scope = Scope()
    with scope.active():
        DQNModel("eval", torso, (4, 4, 1), 2)({"state": tf.zeros([1, 4, 4, 1])}, None)
    online = scope.parts["Model/online"]
    assert not keeps_out_xla(online.submodules)
    assert threads.advice([online], 4) is None  # A convolution within a layer has images of no known size.


def test_other_convolutions_keep_xla_out_and_a_gpu_lets_all_in(monkeypatch):
    layers = [tf_keras.layers.Conv2D(2, 3), tf_keras.layers.Conv2DTranspose(2, 3), tf_keras.layers.Conv1D(2, 3)]
    for layer in layers:
        layer.build([None, 5, 1] if isinstance(layer, tf_keras.layers.Conv1D) else [None, 5, 5, 1])
    assert all(keeps_out_xla([layer]) for layer in layers)
    assert not keeps_out_xla([tf_keras.layers.Dense(2)])
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * (kind == "GPU"))
    assert not keeps_out_xla(layers)
    small = Conv2D(2, 3)
    small(tf.zeros([1, 5, 5, 1]))
    assert not small.is_small  # A GPU convolves.


def test_layers_and_weights_have_the_names_of_tf_keras():
    (ours,) = (layer for layer in tf_keras.Sequential([Conv2D(2, 3)]).layers)
    ours.build([None, 5, 5, 1])
    assert ours.name.startswith("conv2d")
    assert [weight.name.split("/")[-1] for weight in ours.weights] == ["kernel:0", "bias:0"]
