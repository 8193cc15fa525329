"""The rescaling of action values that makes returns of any size learnable with one setting."""

from __future__ import annotations

import tensorflow as tf

from polyrl.ops.inputs import on_tensors


@on_tensors
def signed_hyperbolic(x: tf.Tensor, slope: float = 1e-3) -> tf.Tensor:
    """`h(x) = sign(x) (sqrt(|x| + 1) - 1) + slope x`, of any shape (Pohlen et al. 2018; Kapturowski et al. 2019, eq. 2).

    Args:
        x: action values.
        slope: at least 0; keeps the inverse Lipschitz continuous.
    """
    # `|x| / (sqrt(|x| + 1) + 1)` is the same, and exact near 0.
    return x / (tf.sqrt(tf.abs(x) + 1.0) + 1.0) + tf.constant(slope, x.dtype) * x


@on_tensors
def signed_parabolic(x: tf.Tensor, slope: float = 1e-3) -> tf.Tensor:
    """The inverse of `signed_hyperbolic`, of any shape.

    With `r = sqrt(|y| + 1)`, `|x| = r - 1 + slope (r^2 - 1)` is a quadratic equation; its larger root is written without a
    difference of numbers that are almost equal.

    Args:
        x: rescaled action values.
        slope: that of `signed_hyperbolic`.
    """
    slope = tf.constant(slope, x.dtype)
    size = tf.abs(x)
    # `u = r - 1` solves `slope u^2 + (1 + 2 slope) u = |x|`.
    linear = 1.0 + 2.0 * slope
    root = 2.0 * size / (linear + tf.sqrt(tf.square(linear) + 4.0 * slope * size))
    return tf.sign(x) * root * (root + 2.0)
