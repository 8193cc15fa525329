"""Dense layers and convolutions as torsos and heads have them: with initial weights by config, and with noise."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.configs import InitializerConfig
from polyrl.engine.narrow_dense import NarrowDense
from polyrl.networks.noisy_dense import NoisyDense
from polyrl.networks.product_dense import ProductDense

MANY_CHANNELS = 32
"""So many channels, of at most four rows, are no channels."""


def check_channels_last(name: str, shape: tf.TensorShape) -> None:
    """A ValueError for what looks like images `[B, channels, height, width]`, as other libraries have them."""
    if shape.rank == 4 and None not in shape[1:] and shape[1] <= 4 < MANY_CHANNELS <= min(shape[2], shape[3]):
        raise ValueError(
            f"{name} expects images [B, height, width, channels]; got {tuple(shape)}, which look like [B, channels, height, "
            "width]. Have the environment put the channels last, as np.moveaxis(image, 0, -1) does."
        )


def dense(
    x: tf.Tensor,
    units: int,
    activation: Any = None,
    *,
    initializer: InitializerConfig | None = None,
    noisy: bool = False,
    narrow: bool = False,
    layer_norm: bool = False,
    **arguments: Any,
) -> tf.Tensor:
    """A new dense layer on `x`, `[..., n]` to `[..., units]`.

    Args:
        x: symbolic.
        units: of the output.
        activation: a name or a function.
        initializer: of kernel and bias; None: tf-keras's. A noisy layer has its own.
        noisy: whether the weights have learned noise, see `NoisyDense`.
        layer_norm: whether what it gives is normalised before the activation.
        narrow: whether the layer is `NarrowDense`, which is quicker with few units.
        **arguments: those of a tf-keras layer, as its name.
    """
    if layer_norm:
        x = dense(x, units, initializer=initializer, noisy=noisy, narrow=narrow, **arguments)
        return tf_keras.layers.Activation(activation)(tf_keras.layers.LayerNormalization()(x))
    if noisy:
        return NoisyDense(units, activation, **arguments)(x)
    kind = NarrowDense if narrow else tf_keras.layers.Dense
    return kind(units, activation, **_initial(initializer, x.shape[-1]), **arguments)(x)


def product_dense(
    x: tf.Tensor, embeddings: tf.Tensor, units: int, *, initializer: InitializerConfig | None = None, **arguments: Any
) -> tf.Tensor:
    """A new dense layer on the products `x * embeddings[:, n]`: `[B, d]` and `[B, N, d]` to `[B, units, N]`."""
    return ProductDense(units, **_initial(initializer, x.shape[-1]), **arguments)([x, embeddings])


def convolution(
    x: tf.Tensor,
    filters: int,
    size: int,
    stride: int,
    activation: Any,
    initializer: InitializerConfig | None = None,
    layer_norm: bool = False,
) -> tf.Tensor:
    """A new convolution on images `x`, `[B, height, width, channels]`.

    With `layer_norm` the channels of each place are normalised before the activation.
    """
    if layer_norm:
        x = convolution(x, filters, size, stride, None, initializer)
        return tf_keras.layers.Activation(activation)(tf_keras.layers.LayerNormalization()(x))
    initial = _initial(initializer, math.prod([size, size, x.shape[-1]]))
    return tf_keras.layers.Conv2D(filters, size, stride, activation=activation, **initial)(x)


def _initial(config: InitializerConfig | None, fan_in: int) -> dict[str, Any]:
    if config is None:
        return {}
    return {"kernel_initializer": config.kernel(fan_in), "bias_initializer": config.bias(fan_in)}
