"""`RunningNormalization`: observations by their running mean and variance, which are saved with the network."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.engine.replicas import batch_moments
from polyrl.validation import check_float

LARGEST_COUNT = 1e6
"""Rows after which old ones fade: float32 could not count on, and the states that a policy meets change."""


class RunningNormalization(tf_keras.layers.Layer):
    """`clip((x - mean) / sqrt(variance + epsilon), -limit, limit)`, `[B, ...]` to float32 `[B, ...]`.

    The statistics are those of all states that updates have learned from (Chan et al. 1979); acting, evaluation and targets do
    not change them. Unlike batch normalisation, no row depends on the others of its batch.

    Args:
        limit: the largest size of a number that it gives.
        epsilon: added to the variance.
        **arguments: those of a tf-keras layer.
    """

    def __init__(self, limit: float = 10.0, epsilon: float = 1e-8, **arguments: Any):
        super().__init__(**arguments)
        self.limit = check_float("limit", limit, 0.0)
        self.epsilon = check_float("epsilon", epsilon, 0.0)

    def build(self, input_shape: Any) -> None:
        """Creates mean, variance and count, which are not trained."""
        shape = input_shape[1:]
        self.mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
        self.variance = self.add_weight(name="variance", shape=shape, initializer="ones", trainable=False)
        self.count = self.add_weight(name="count", shape=[], initializer="zeros", trainable=False)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The normalised numbers; in training, the statistics take the batch in afterwards."""
        values = tf.cast(inputs, tf.float32)
        mean, variance, count = (tf.convert_to_tensor(weight) for weight in (self.mean, self.variance, self.count))
        normal = (values - mean) * tf.math.rsqrt(variance + self.epsilon)
        if training:
            batch_mean, batch_variance, rows = batch_moments(tf.stop_gradient(values))
            share = rows / (count + rows)
            difference = batch_mean - mean
            # Before any row, the variance is that of the batch, whatever it was.
            within = (1.0 - share) * variance + share * batch_variance
            self.mean.assign(mean + share * difference)
            self.variance.assign(within + share * (1.0 - share) * tf.square(difference))
            self.count.assign(tf.minimum(count + rows, LARGEST_COUNT))
        return tf.clip_by_value(normal, -self.limit, self.limit)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for copies and checkpoints."""
        return {**super().get_config(), "limit": self.limit, "epsilon": self.epsilon}
