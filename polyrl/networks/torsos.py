"""Ready-made torsos. Each function returns a `graph_fn(mode, inputs)`; write your own in the same few lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.configs import InitializerConfig
from polyrl.networks.any_mode import SameInEveryMode
from polyrl.networks.layers import check_channels_last, convolution, dense, layer_dtype
from polyrl.networks.running_normalization import RunningNormalization
from polyrl.validation import check_int, explains

layers = tf_keras.layers

SMALLEST_IMAGE = 36
"""Height and width of which the three convolutions of `nature_cnn` leave one pixel."""

BYTES = 1.0 / 255.0
"""What bytes are multiplied by. The first layer's weights are, in place of all images."""


NAMES = {
    **dict.fromkeys(("hidden_sizes", "hidden_units", "net_arch", "layers", "fc_layer_params"), "Use units, as (64, 64)."),
    **dict.fromkeys(("activation_fn", "act"), "Use activation, a name as 'relu'."),
    "kernel_initializer": "Use initializer, a config.",
    "use_layer_norm": "Use layer_norm.",
    **dict.fromkeys(("dtype", "compute_dtype", "mixed_precision"), "Images have precision, as 'bfloat16'."),
}
"""What arguments of other libraries' networks are called here."""


@explains(NAMES)
def mlp(
    units: Sequence[int] = (64, 64),
    activation: str = "relu",
    *,
    initializer: InitializerConfig | None = None,
    noisy: bool = False,
    layer_norm: bool = False,
    normalize_inputs: bool = False,
    flatten: bool = False,
) -> SameInEveryMode:
    """Dense layers with the given numbers of units, `[B, n]` to `[B, units[-1]]`.

    Args:
        units: of each layer.
        activation: a name of tf-keras's, or a function.
        initializer: of the weights, as `TorchInitializerConfig()`; None: tf-keras's, Glorot uniform.
        noisy: whether the layers have learned noise, see `NoisyDense`; they have initial weights of their own.
        layer_norm: whether each layer is normalised before its activation (Ba et al. 2016).
        normalize_inputs: whether states are normalised by their running statistics, see `RunningNormalization`.
        flatten: whether states may have more axes, as boards `[B, height, width]` do: their numbers are put in one row.
    """
    _check_noise(noisy, initializer)
    layer_sizes = sizes("units", units)
    _check_activation(activation)

    def build(inputs: Any) -> tf.Tensor:
        x = inputs["state"] if isinstance(inputs, Mapping) else inputs
        if flatten and x.shape.rank > 2:
            x = layers.Flatten()(x)
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


@explains(NAMES)
def embedding_mlp(
    num_states: int,
    dimension: int = 32,
    units: Sequence[int] = (64,),
    activation: str = "relu",
    *,
    initializer: InitializerConfig | None = None,
    noisy: bool = False,
    layer_norm: bool = False,
) -> SameInEveryMode:
    """An embedding vector for each of `num_states` discrete states, then dense layers: integers `[B]` to `[B, units[-1]]`.

    For a `Discrete(num_states)` observation space, with the state index counted from 0. With `units=()` the output is the
    embedding itself, `[B, dimension]`, and the head of action values on top of it makes the model tabular.
    `initializer`, `noisy` and `layer_norm` are those of `mlp`, for the dense layers.
    """
    _check_noise(noisy, initializer)
    rows, columns = check_int("num_states", num_states, minimum=1), check_int("dimension", dimension, minimum=1)
    layer_sizes = sizes("units", units)
    _check_activation(activation)

    def build(inputs: Any) -> tf.Tensor:
        x = inputs["state"] if isinstance(inputs, Mapping) else inputs
        if x.shape.rank != 1 or not x.dtype.is_integer:
            raise ValueError(f"embedding_mlp expects state indices, integers [B]; got {x.dtype.name} {tuple(x.shape)}.")
        x = layers.Embedding(rows, columns)(x)
        for size in layer_sizes:
            x = dense(x, size, activation, initializer=initializer, noisy=noisy, layer_norm=layer_norm)
        return x

    return SameInEveryMode(build)


@explains(NAMES)
def nature_cnn(
    *, initializer: InitializerConfig | None = None, noisy: bool = False, precision: str | None = None
) -> SameInEveryMode:
    """The convolutional torso of Mnih et al. 2015: uint8 images `[B, 84, 84, 4]` to `[B, 512]`. Sides are at least 36.

    Args:
        initializer: of the weights; None: tf-keras's.
        noisy: whether the dense layer has learned noise, see `NoisyDense`.
        precision: `'bfloat16'`: the layers compute in it, and keep their weights in float32 (tf-keras's `mixed_bfloat16`);
            `'float32'`; None: as tf-keras's global policy says, which is float32 unless it was set.
    """
    dtype = layer_dtype(precision)

    def build(inputs: Any) -> tf.Tensor:
        x = inputs["state"] if isinstance(inputs, Mapping) else inputs
        check_channels_last("nature_cnn", x.shape)
        if x.shape.rank != 4:
            other = "embedding_mlp(num_states) for discrete states" if x.shape.rank == 1 else "mlp() for vectors"
            raise ValueError(f"nature_cnn expects images [B, height, width, channels]; got {tuple(x.shape)}. Use {other}.")
        if min(x.shape[1], x.shape[2]) < SMALLEST_IMAGE:
            raise ValueError(
                f"nature_cnn expects images with sides of at least {SMALLEST_IMAGE}; got {tuple(x.shape)}. Use cnn(), or a "
                "graph_fn of your own with fewer or smaller convolutions."
            )
        x = convolution(x, 32, 8, 4, "relu", initializer, scale=BYTES, **dtype)
        for size, stride in ((4, 2), (3, 1)):
            x = convolution(x, 64, size, stride, "relu", initializer, **dtype)
        return dense(layers.Flatten(**dtype)(x), 512, "relu", initializer=initializer, noisy=noisy, **dtype)

    return SameInEveryMode(build)


@explains(NAMES)
def cnn(
    filters: Sequence[int] = (16,),
    units: Sequence[int] = (128,),
    activation: str = "relu",
    *,
    kernel_size: int = 3,
    categories: int | None = None,
    initializer: InitializerConfig | None = None,
    noisy: bool = False,
    layer_norm: bool = False,
    precision: str | None = None,
) -> SameInEveryMode:
    """Convolutions for small images, then dense layers: `[B, height, width, channels]` to `[B, units[-1]]`.

    The defaults are the network that Young & Tian 2019 have for MinAtar's boards of `[10, 10, channels]` bools.

    Args:
        filters: of each convolution; each has a stride of 1 and no padding, so that it takes `kernel_size - 1` off both sides.
        units: of each dense layer.
        activation: a name of tf-keras's, or a function.
        kernel_size: height and width of the convolutions.
        categories: what the numbers of an image mean. An integer n: each is one of the categories 0 to n - 1, and becomes n
            numbers, one of which is 1 (of another number none is), as in MiniGrid, whose images hold kinds of objects and not
            brightness. None: they are quantities. Bytes are divided by 255, bools are 0 and 1, others stay as they are.
        initializer: of the weights that have no noise; None: tf-keras's.
        noisy: whether the dense layers have learned noise, see `NoisyDense`.
        layer_norm: whether each layer is normalised before its activation, a convolution over the channels of each place.
        precision: of the layers, as in `nature_cnn`.
    """
    dtype = layer_dtype(precision)
    maps, layer_sizes = sizes("filters", filters), sizes("units", units)
    side = check_int("kernel_size", kernel_size, minimum=1)
    number = None if categories is None else check_int("categories", categories, minimum=2)
    smallest = 1 + len(maps) * (side - 1)
    _check_activation(activation)

    def build(inputs: Any) -> tf.Tensor:
        x = inputs["state"] if isinstance(inputs, Mapping) else inputs
        check_channels_last("cnn", x.shape)
        if x.shape.rank != 4:
            other = {1: "embedding_mlp(num_states) for discrete states", 2: "mlp() for vectors"}
            raise ValueError(
                f"cnn expects images [B, height, width, channels]; got {x.dtype.name} {tuple(x.shape)}. Use "
                f"{other.get(x.shape.rank, 'mlp(flatten=True) for boards without channels')}."
            )
        if min(x.shape[1], x.shape[2]) < smallest:
            raise ValueError(
                f"cnn expects images with sides of at least {smallest} for {len(maps)} convolutions with kernel_size={side}; "
                f"got {tuple(x.shape)}. Give fewer filters or a smaller kernel_size."
            )
        x = _quantities(x) if number is None else _one_hot(x, number)
        for size in maps:
            x = convolution(x, size, side, 1, activation, initializer, layer_norm, **dtype)
        x = layers.Flatten(**dtype)(x)
        for size in layer_sizes:
            x = dense(x, size, activation, initializer=initializer, noisy=noisy, layer_norm=layer_norm, **dtype)
        return x

    return SameInEveryMode(build)


def _quantities(x: tf.Tensor) -> tf.Tensor:
    """Images as floats: bytes as fractions of 255."""
    return layers.Rescaling(1.0 / 255.0)(x) if x.dtype == tf.uint8 else tf.cast(x, tf.float32)


def _one_hot(x: tf.Tensor, number: int) -> tf.Tensor:
    """Integers `[B, height, width, channels]` as floats `[B, height, width, channels * number]`."""
    if not x.dtype.is_integer:
        raise ValueError(f"cnn with categories={number} expects integers; got {x.dtype.name} {tuple(x.shape)}.")
    height, width, channels = x.shape[1:]
    return layers.Reshape([height, width, channels * number])(tf.one_hot(tf.cast(x, tf.int32), number))


def sizes(name: str, units: Sequence[int]) -> list[int]:
    """Numbers of units, one for each layer, each at least 1."""
    if not isinstance(units, Iterable) or isinstance(units, str):
        torso = " A torso is what mlp() returns, not mlp itself." if name == "units" else ""
        raise TypeError(f"{name}={units!r} must be a sequence with the size of each layer, as (64, 64).{torso}")
    return [check_int(name, size, minimum=1) for size in units]


def _check_noise(noisy: bool, initializer: InitializerConfig | None) -> None:
    """A ValueError for initial weights of layers that have their own."""
    if noisy and initializer is not None:
        raise ValueError(f"initializer={initializer} has no effect with noisy=True; leave one of them out.")


def _check_activation(activation: Any) -> None:
    """A ValueError unless tf-keras has an activation of this name; functions and None are activations, too."""
    try:
        tf_keras.activations.get(activation)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"activation={activation!r} must be the name of an activation of tf-keras, as 'relu' or 'tanh', or a function."
        ) from error
