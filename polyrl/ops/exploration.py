"""Random choices: stateless, and the same with and without XLA."""

from __future__ import annotations

from typing import Any

from polyrl.ops.masks import mask_values, nth_legal
from polyrl.ops.shapes import check_shapes

import tensorflow as tf


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
