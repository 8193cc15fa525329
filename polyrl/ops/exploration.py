"""Random actions and numbers: stateless, and the same with and without XLA."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.ops.inputs import on_tensors
from polyrl.ops.masks import mask_values, nth_legal
from polyrl.ops.numbers import check_legal_rows, check_preferences
from polyrl.ops.shapes import check_shapes
from polyrl.validation import check_int

_TINY = 1e-30


@on_tensors
def epsilon_greedy(q: tf.Tensor, epsilon: tf.Tensor, seed: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """A uniformly random action with probability `epsilon`, otherwise the best one, independently for each row.

    Of several best ones each is as likely.

    Args:
        q: action values, `[B, A]`.
        epsilon: scalar in [0, 1].
        seed: int `[2]`; the same seed gives the same actions.
        mask: the legal actions, bool `[B, A]`, at least one in each row; None: all are legal. Both the random and the best
            action are legal ones.

    Returns:
        int32 `[B]`.
    """
    epsilon = tf.cast(epsilon, tf.float32)
    check_shapes(q=(q, "BA"), epsilon=(epsilon, ""))
    check_legal_rows(mask)
    check_preferences("q", q, mask)
    coin, choice = tf.unstack(uniform([2, tf.shape(q)[0]], seed))  # [B] each
    # Above the illegal ones also where it is minus infinity.
    values = q if mask is None else mask_values(tf.maximum(q, q.dtype.min), mask)
    is_best = ~(values < tf.reduce_max(values, axis=1, keepdims=True))
    chosen_from = is_best | (coin < epsilon)[:, tf.newaxis]  # [B, A]
    chosen_from = chosen_from if mask is None else chosen_from & mask
    number = tf.reduce_sum(tf.cast(chosen_from, tf.float32), axis=1)  # [B]
    return nth_legal(chosen_from, tf.cast(choice * number, tf.int32))


@on_tensors
def boltzmann(q: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Samples actions with probability `softmax(q / temperature)`; at temperature 0 the best ones, each as likely.

    Args:
        q: action values, `[B, A]`.
        temperature: scalar, not negative, in units of the action values.
        seed: int `[2]`; the same seed gives the same actions.
        mask: the legal actions, bool `[B, A]`, at least one in each row; None: all are legal. Illegal ones have probability 0.

    Returns:
        int32 `[B]`.
    """
    temperature = tf.cast(temperature, tf.float32)
    check_shapes(q=(q, "BA"), temperature=(temperature, ""))
    check_legal_rows(mask)
    check_preferences("q", q, mask)
    # Relative to the maximum: a small temperature then gives minus infinity for the other actions, never plus infinity.
    values = mask_values(tf.cast(q, tf.float32), mask)
    differences = values - tf.reduce_max(values, axis=1, keepdims=True)
    worse = tf.where(temperature > 0.0, differences / tf.maximum(temperature, _TINY), -math.inf)
    logits = tf.where(differences < 0.0, worse, 0.0)
    logits = logits if mask is None else tf.where(mask, logits, -math.inf)
    return gumbel_argmax(logits, seed)


@on_tensors
def ornstein_uhlenbeck(noise: tf.Tensor, normal: tf.Tensor, theta: float, mu: float, sigma: tf.Tensor, dt: float) -> tf.Tensor:
    """One Euler-Maruyama step of an Ornstein-Uhlenbeck process: `x + theta (mu - x) dt + sigma sqrt(dt) n`.

    Args:
        noise: the present value `x`, of any shape.
        normal: standard normal numbers `n`, of the same shape.
        theta: rate of mean reversion.
        mu: long-term mean.
        sigma: scale of the random increments; scalar.
        dt: length of a time step.
    """
    check_shapes(sigma=(sigma, ""))
    if not noise.shape.is_compatible_with(normal.shape):
        raise ValueError(f"normal has shape {tuple(normal.shape)}; expected that of noise, {tuple(noise.shape)}.")
    return noise + theta * (mu - noise) * dt + sigma * math.sqrt(dt) * normal


def _sizes(shape: Any) -> Any:
    """A shape as it is given to TensorFlow: integers of at least 0, or a tensor where its values are not known yet.

    A TypeError or ValueError otherwise.
    """
    if tf.is_tensor(shape):
        known = tf.get_static_value(shape)
        if known is None or known.ndim != 1 or known.dtype.kind not in "iu":
            return shape
        shape = known
    sizes = shape.tolist() if isinstance(shape, np.ndarray) else shape
    if not isinstance(sizes, (list, tuple, tf.TensorShape)):
        raise TypeError(f"shape={shape!r} must be a list of integers, or a tensor of them.")
    known = [_known(size) for size in sizes]
    checked = [size if tf.is_tensor(size) else check_int("shape", size, minimum=0) for size in known]
    if math.prod(size for size in checked if isinstance(size, int)) >= 2**31:  # TensorFlow would crash.
        raise ValueError(f"shape={shape!r} must have fewer than 2**31 numbers.")
    return checked


def _known(size: Any) -> Any:
    """The value of a size that is given as a tensor, where it is known; the size itself otherwise."""
    value = tf.get_static_value(size) if tf.is_tensor(size) else None
    return size if value is None else value.item() if value.ndim == 0 else value


def _product(shape: Any) -> Any:
    """How many numbers a tensor of such a shape has. An integer is no operation."""
    is_known = isinstance(shape, list) and all(isinstance(size, int) for size in shape)
    return math.prod(shape) if is_known else tf.reduce_prod(tf.cast(shape, tf.int32))


@on_tensors
def normal(shape: Any, seed: tf.Tensor) -> tf.Tensor:
    """Standard normal numbers, float32, made from `uniform` ones (Box and Muller 1958).

    With and without XLA they agree up to rounding errors.
    """
    shape = _sizes(shape)
    size = _product(shape)
    radius, angle = tf.unstack(uniform([2, size], seed))
    flat = tf.sqrt(-2.0 * tf.math.log(1.0 - radius)) * tf.cos(2.0 * math.pi * angle)
    return tf.reshape(flat, shape)


@on_tensors
def uniform(shape: Any, seed: tf.Tensor) -> tf.Tensor:
    """Uniform numbers in [0, 1), float32.

    The same with and without XLA: made from 24 of the 32 bits of random integers, because random floats differ, and drawn as a
    vector, because tensors of higher rank differ.
    """
    shape = _sizes(shape)
    bits = tf.random.stateless_uniform([_product(shape)], seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")
    return tf.reshape(tf.cast(tf.bitwise.bitwise_and(bits, 0xFFFFFF), tf.float32) * 2.0**-24, shape)


@on_tensors
def sample_categorical(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """An index for each row with probability `softmax(logits)`, int32 `[B]`; a logit of minus infinity is never drawn.

    It is the argmax of the logits plus Gumbel noise (Gumbel 1954).
    """
    check_shapes(logits=(logits, "BA"))
    check_preferences("logits", logits)
    return gumbel_argmax(logits, seed)


def gumbel_argmax(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """`sample_categorical` without its checks: of NaN it draws something."""
    noise = -tf.math.log(-tf.math.log(tf.maximum(uniform(tf.shape(logits), seed), 2.0**-25)))
    return tf.argmax(tf.cast(logits, tf.float32) + noise, axis=1, output_type=tf.int32)
