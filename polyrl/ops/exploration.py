"""Action selection with exploration: stateless, one coin for each row."""

from __future__ import annotations

from polyrl.ops.shapes import check_shapes

import tensorflow as tf


def epsilon_greedy(q: tf.Tensor, epsilon: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A uniformly random action with probability `epsilon`, the greedy one otherwise, decided row by row.

    Args:
        q: action values, `[B, A]`.
        epsilon: scalar in [0, 1].
        seed: int `[2]`; the same seed gives the same actions.

    Returns:
        int32 `[B]`.
    """
    check_shapes(q=(q, "BA"))
    rows, num_actions = tf.shape(q)[0], tf.shape(q)[1]
    coin_seed, action_seed = tf.unstack(tf.random.split(seed, 2))
    # Philox by name: the same draws with and without XLA.
    coin = tf.random.stateless_uniform([rows], coin_seed, alg="philox")
    random_action = tf.random.stateless_uniform([rows], action_seed, 0, num_actions, tf.int32, alg="philox")
    return tf.where(coin < epsilon, random_action, tf.argmax(q, axis=1, output_type=tf.int32))
