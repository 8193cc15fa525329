"""Of which layers the share of zeros says something."""

from __future__ import annotations

import tf_keras

from polyrl.networks import Recurrent
from polyrl.networks.running_normalization import RunningNormalization

layers = tf_keras.layers

NEVER_ZERO = frozenset(
    (
        "linear",
        "tanh",
        "sigmoid",
        "softmax",
        "log_softmax",
        "softplus",
        "softsign",
        "elu",
        "selu",
        "gelu",
        "swish",
        "silu",
        "mish",
        "leaky_relu",
        "exponential",
    )
)
"""Activations, by their function's name, that are zero at zero alone: whatever comes in, no unit of them is dead."""

LINEAR = (
    layers.Embedding,
    layers.LayerNormalization,
    layers.BatchNormalization,
    layers.GroupNormalization,
    layers.UnitNormalization,
    layers.Normalization,
    layers.PReLU,
    Recurrent,
    RunningNormalization,
)
"""Kinds of layer without an activation that could hold them at zero."""


def may_be_dead(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer's outputs can be zero for many inputs, as those of a ReLU can; True where it cannot be known."""
    if isinstance(layer, layers.Wrapper):
        return may_be_dead(layer.layer)
    if isinstance(layer, tf_keras.Sequential):
        return any(map(may_be_dead, layer.layers[-1:]))
    if isinstance(layer, LINEAR):
        return False
    # An activation may be a function of the program's own, or a layer.
    activation = getattr(layer, "activation", None)
    return activation is None or getattr(activation, "__name__", "") not in NEVER_ZERO
