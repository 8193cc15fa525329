"""Random choices: stateless, and the same with and without XLA."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from polyrl.ops.masks import mask_values, nth_legal
from polyrl.ops.shapes import check_shapes

_TINY = 1e-30


def epsilon_greedy(q: tf.Tensor, epsilon: tf.Tensor, seed: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """A uniformly random action with probability `epsilon`, the greedy one otherwise, decided row by row.

    Args:
        q: action values, `[B, A]`.
        epsilon: scalar in [0, 1].
        seed: int `[2]`; the same seed gives the same actions.
        mask: the legal actions, bool `[B, A]`; None: all of them. Only these are chosen among, at random as by value.

    Returns:
        int32 `[B]`.
    """
    epsilon = tf.convert_to_tensor(epsilon, tf.float32)
    check_shapes(q=(q, "BA"), epsilon=(epsilon, ""))
    rows, num_actions = tf.shape(q)[0], tf.shape(q)[1]
    coin, choice = tf.unstack(uniform([2, rows], seed))
    if mask is None:
        random_action = tf.cast(choice * tf.cast(num_actions, tf.float32), tf.int32)
    else:
        legal = tf.reduce_sum(tf.cast(mask, tf.float32), axis=1)  # [B], how many
        random_action = nth_legal(mask, tf.cast(choice * legal, tf.int32))
    return tf.where(coin < epsilon, random_action, tf.argmax(mask_values(q, mask), axis=1, output_type=tf.int32))


def boltzmann(q: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Actions with probability `softmax(q / temperature)`; the greedy ones at temperature 0.

    Args:
        q: action values, `[B, A]`.
        temperature: scalar, not negative.
        seed: int `[2]`; the same seed gives the same actions.
        mask: the legal actions, bool `[B, A]`; None: all of them. Others are never chosen.

    Returns:
        int32 `[B]`.
    """
    temperature = tf.convert_to_tensor(temperature, tf.float32)
    check_shapes(q=(q, "BA"), temperature=(temperature, ""))
    # Relative to the best, so that a small temperature makes the others minus infinity and never the best infinite.
    values = mask_values(tf.cast(q, tf.float32), mask)
    behind = values - tf.reduce_max(values, axis=1, keepdims=True)
    logits = tf.where(behind < 0.0, behind / tf.maximum(temperature, _TINY), 0.0)
    logits = logits if mask is None else tf.where(mask, logits, -math.inf)
    sampled = sample_categorical(logits, seed)
    return tf.where(temperature > 0.0, sampled, tf.argmax(values, axis=1, output_type=tf.int32))


def ornstein_uhlenbeck(noise: tf.Tensor, normal: tf.Tensor, theta: float, mu: float, sigma: tf.Tensor, dt: float) -> tf.Tensor:
    """The next value of an Ornstein-Uhlenbeck process, by Euler and Maruyama: `x + theta (mu - x) dt + sigma sqrt(dt) n`.

    Args:
        noise: the present value `x`, of any shape.
        normal: numbers `n` of the standard normal distribution, of the same shape.
        theta: how fast it drifts back.
        mu: where it drifts to.
        sigma: how strongly it is pushed; scalar.
        dt: length of a step.
    """
    return noise + theta * (mu - noise) * dt + sigma * math.sqrt(dt) * normal


def normal(shape: Any, seed: tf.Tensor) -> tf.Tensor:
    """Numbers of the standard normal distribution, float32, out of `uniform` ones (Box and Muller 1958).

    With XLA and without they agree but for rounding.
    """
    size = tf.reduce_prod(shape)
    radius, angle = tf.unstack(uniform([2, size], seed))
    flat = tf.sqrt(-2.0 * tf.math.log(1.0 - radius)) * tf.cos(2.0 * math.pi * angle)
    return tf.reshape(flat, shape)


def uniform(shape: Any, seed: tf.Tensor) -> tf.Tensor:
    """Numbers from 0 up to but not including 1, float32.

    The same with and without XLA: out of 24 of the 32 bits of random integers (floats differ), drawn in one row (more
    dimensions differ).
    """
    size = tf.reduce_prod(shape)
    bits = tf.random.stateless_uniform([size], seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")
    return tf.reshape(tf.cast(tf.bitwise.bitwise_and(bits, 0xFFFFFF), tf.float32) * 2.0**-24, shape)


def sample_categorical(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """An index for each row with probability `softmax(logits)`, int32 `[B]`; minus infinity is never drawn.

    By the largest of the logits with Gumbel noise (Gumbel 1954).
    """
    check_shapes(logits=(logits, "BA"))
    noise = -tf.math.log(-tf.math.log(tf.maximum(uniform(tf.shape(logits), seed), 2.0**-25)))
    return tf.argmax(tf.cast(logits, tf.float32) + noise, axis=1, output_type=tf.int32)
