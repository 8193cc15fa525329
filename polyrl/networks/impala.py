"""The residual torso of IMPALA (Espeholt et al. 2018), wider, as value-based agents have it today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.configs import InitializerConfig
from polyrl.networks.any_mode import SameInEveryMode
from polyrl.networks.layers import check_channels_last, convolution, dense, layer_dtype
from polyrl.networks.torsos import BYTES, NAMES, SMALLEST_IMAGE, sizes
from polyrl.validation import check_int, explains

layers = tf_keras.layers


@explains(NAMES)
def impala_cnn(
    filters: Sequence[int] = (16, 32, 32),
    units: int = 512,
    *,
    width: int = 1,
    initializer: InitializerConfig | None = None,
    noisy: bool = False,
    precision: str | None = None,
) -> SameInEveryMode:
    """Three blocks of a convolution, a pooling and two residual parts; then a pooling to a grid and a dense layer.

    Images `[B, height, width, channels]` with sides of at least 36 to `[B, units]`. Of images `[84, 84, 4]` the last pooling
    leaves 6 by 6 places, as in Clark et al. 2024.

    Args:
        filters: of each block.
        units: of the dense layer.
        width: multiplies the filters; 2 in Clark et al. 2024.
        initializer: of the dense layer's weights; None: tf-keras's.
        noisy: whether the dense layer has learned noise, see `NoisyDense`.
        precision: of the layers, as in `nature_cnn`.
    """
    dtype = layer_dtype(precision)
    factor, size = check_int("width", width, minimum=1), check_int("units", units, minimum=1)
    maps = [factor * number for number in sizes("filters", filters)]

    def build(inputs: Any) -> tf.Tensor:
        x = inputs["state"] if isinstance(inputs, Mapping) else inputs
        check_channels_last("impala_cnn", x.shape)
        if x.shape.rank != 4 or min(x.shape[1], x.shape[2]) < SMALLEST_IMAGE:
            raise ValueError(
                f"impala_cnn expects images [B, height, width, channels] with sides of at least {SMALLEST_IMAGE}; got "
                f"{tuple(x.shape)}. Use cnn() for smaller ones."
            )
        for index, number in enumerate(maps):
            scale = BYTES if index == 0 else 1.0
            x = convolution(x, number, 3, 1, None, padding="same", scale=scale, **dtype)
            x = layers.MaxPool2D(3, 2, "same", **dtype)(x)
            for _ in range(2):
                y = convolution(layers.ReLU(**dtype)(x), number, 3, 1, None, padding="same", **dtype)
                y = convolution(layers.ReLU(**dtype)(y), number, 3, 1, None, padding="same", **dtype)
                x = layers.Add(**dtype)([x, y])
        x = layers.Flatten(**dtype)(layers.MaxPool2D(2, 2, "same", **dtype)(layers.ReLU(**dtype)(x)))
        return dense(x, size, "relu", initializer=initializer, noisy=noisy, **dtype)

    return SameInEveryMode(build)
