"""Ready-made torsos. Each function returns a `graph_fn(mode, inputs)`; write your own in the same few lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.configs import InitializerConfig
from polyrl.networks.any_mode import SameInEveryMode
from polyrl.networks.layers import convolution, dense
from polyrl.networks.running_normalization import RunningNormalization
from polyrl.validation import check_int

layers = tf_keras.layers

SMALLEST_IMAGE = 36
"""Height and width of which the three convolutions of `nature_cnn` leave one pixel."""


def mlp(
    units: Sequence[int] = (64, 64),
    activation: str = "relu",
    *,
    initializer: InitializerConfig | None = None,
    noisy: bool = False,
    layer_norm: bool = False,
    normalize_inputs: bool = False,
) -> SameInEveryMode:
    """Dense layers with the given numbers of units, `[B, n]` to `[B, units[-1]]`.

    Args:
        units: of each layer.
        activation: a name of tf-keras's, or a function.
        initializer: of the weights, as `TorchInitializerConfig()`; None: tf-keras's, Glorot uniform.
        noisy: whether the layers have learned noise, see `NoisyDense`; they have initial weights of their own.
        layer_norm: whether each layer is normalised before its activation (Ba et al. 2016).
        normalize_inputs: whether states are normalised by their running statistics, see `RunningNormalization`.
    """
    if noisy and initializer is not None:
        raise ValueError(f"initializer={initializer} has no effect with noisy=True; leave one of them out.")
    layer_sizes = sizes("units", units)
    _check_activation(activation)

    def build(inputs: Any) -> tf.Tensor:
        x = inputs["state"] if isinstance(inputs, Mapping) else inputs
        if x.shape.rank != 2:
            other = "embedding_mlp(num_states) for discrete states" if x.shape.rank == 1 else "nature_cnn() for images"
            raise ValueError(
                f"mlp expects vectors [B, n]; got {x.dtype.name} {tuple(x.shape)}. Use {other}, or a graph_fn of your "
                "own that begins with layers.Flatten()."
            )
        x = RunningNormalization()(x) if normalize_inputs else x
        for size in layer_sizes:
            x = dense(x, size, activation, initializer=initializer, noisy=noisy, layer_norm=layer_norm)
        return x

    return SameInEveryMode(build)


def embedding_mlp(
    num_states: int, dimension: int = 32, units: Sequence[int] = (64,), activation: str = "relu"
) -> SameInEveryMode:
    """An embedding vector for each of `num_states` discrete states, then dense layers: integers `[B]` to `[B, units[-1]]`.

    For a `Discrete(num_states)` observation space, with the state index counted from 0. With `units=()` the output is the
    embedding itself, `[B, dimension]`, and the head of action values on top of it makes the model tabular.
    """
    rows, columns = check_int("num_states", num_states, minimum=1), check_int("dimension", dimension, minimum=1)
    layer_sizes = sizes("units", units)
    _check_activation(activation)

    def build(inputs: Any) -> tf.Tensor:
        x = inputs["state"] if isinstance(inputs, Mapping) else inputs
        if x.shape.rank != 1 or not x.dtype.is_integer:
            raise ValueError(f"embedding_mlp expects state indices, integers [B]; got {x.dtype.name} {tuple(x.shape)}.")
        x = layers.Embedding(rows, columns)(x)
        for size in layer_sizes:
            x = layers.Dense(size, activation)(x)
        return x

    return SameInEveryMode(build)


def nature_cnn(*, initializer: InitializerConfig | None = None, noisy: bool = False) -> SameInEveryMode:
    """The convolutional torso of Mnih et al. 2015: uint8 images `[B, 84, 84, 4]` to `[B, 512]`. Sides are at least 36.

    Args:
        initializer: of the weights; None: tf-keras's.
        noisy: whether the dense layer has learned noise, see `NoisyDense`.
    """

    def build(inputs: Any) -> tf.Tensor:
        x = inputs["state"] if isinstance(inputs, Mapping) else inputs
        if x.shape.rank != 4:
            other = "embedding_mlp(num_states) for discrete states" if x.shape.rank == 1 else "mlp() for vectors"
            raise ValueError(f"nature_cnn expects images [B, height, width, channels]; got {tuple(x.shape)}. Use {other}.")
        if min(x.shape[1], x.shape[2]) < SMALLEST_IMAGE:
            raise ValueError(
                f"nature_cnn expects images with sides of at least {SMALLEST_IMAGE}; got {tuple(x.shape)}. Use a graph_fn of "
                "your own with fewer or smaller convolutions."
            )
        x = layers.Rescaling(1.0 / 255.0)(x)
        for filters, size, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            x = convolution(x, filters, size, stride, "relu", initializer)
        return dense(layers.Flatten()(x), 512, "relu", initializer=initializer, noisy=noisy)

    return SameInEveryMode(build)


def sizes(name: str, units: Sequence[int]) -> list[int]:
    """Numbers of units, one for each layer, each at least 1."""
    if not isinstance(units, Iterable) or isinstance(units, str):
        raise TypeError(
            f"{name}={units!r} must be a sequence with the number of units of each layer, as (64, 64). A torso is what mlp() "
            "returns, not mlp itself."
        )
    return [check_int(name, size, minimum=1) for size in units]


def _check_activation(activation: Any) -> None:
    """A ValueError unless tf-keras has an activation of this name; functions and None are activations, too."""
    try:
        tf_keras.activations.get(activation)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"activation={activation!r} must be the name of an activation of tf-keras, as 'relu' or 'tanh', or a function."
        ) from error
