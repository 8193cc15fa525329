"""Dense layers and convolutions as torsos and heads have them: with initial weights by config, and with noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.configs import InitializerConfig
from polyrl.engine.narrow_dense import NarrowDense
from polyrl.networks import bias
from polyrl.networks.convolution import Conv2D
from polyrl.networks.noisy_dense import NoisyDense
from polyrl.networks.product_dense import ProductDense

MANY_CHANNELS = 32
"""So many channels, of at most four rows, are no channels."""

PRECISIONS: dict[str | None, dict[str, Any]] = {
    None: {},
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "mixed_bfloat16"},
}
"""What layers are given for each `precision` of a torso."""


def layer_dtype(precision: str | None) -> dict[str, Any]:
    """The argument that has a layer of tf-keras compute in a precision; none for None, which leaves it to tf-keras's policy.

    Raises:
        ValueError: for an unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision={precision!r} must be 'float32' or 'bfloat16', in which weights are float32, too; or None for "
            "tf-keras's global policy."
        )
    return PRECISIONS[precision]


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
        **arguments: those of a tf-keras layer, as its name and its dtype.
    """
    if layer_norm:
        x = dense(x, units, initializer=initializer, noisy=noisy, narrow=narrow, **arguments)
        return _normalised(x, activation, arguments.get("dtype"))
    if noisy:
        return NoisyDense(units, activation, **arguments)(x)
    kind = NarrowDense if narrow else bias.Dense if _in_bfloat16(arguments) else tf_keras.layers.Dense
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
    **arguments: Any,
) -> tf.Tensor:
    """A new convolution on images `x`, `[B, height, width, channels]`.

    With `layer_norm` the channels of each place are normalised before the activation. Further arguments are those of a
    tf-keras layer, as its dtype.
    """
    if layer_norm:
        x = convolution(x, filters, size, stride, None, initializer, **arguments)
        return _normalised(x, activation, arguments.get("dtype"))
    initial = _initial(initializer, math.prod([size, size, x.shape[-1]]))
    return Conv2D(filters, size, stride, activation=activation, **initial, **arguments)(x)


def _normalised(x: tf.Tensor, activation: Any, dtype: str | None) -> tf.Tensor:
    """The activation of what a layer gives, normalised over its last axis."""
    return tf_keras.layers.Activation(activation, dtype=dtype)(tf_keras.layers.LayerNormalization(dtype=dtype)(x))


def _in_bfloat16(arguments: Mapping[str, Any]) -> bool:
    """Whether a layer with these arguments computes in bfloat16."""
    dtype = arguments.get("dtype")
    if isinstance(dtype, tf.DType):
        return dtype == tf.bfloat16
    precision = tf_keras.mixed_precision
    policy = precision.global_policy() if dtype is None else precision.Policy(dtype)
    return policy.compute_dtype == "bfloat16"


def _initial(config: InitializerConfig | None, fan_in: int) -> dict[str, Any]:
    if config is None:
        return {}
    return {"kernel_initializer": config.kernel(fan_in), "bias_initializer": config.bias(fan_in)}
