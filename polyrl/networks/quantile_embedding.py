"""`QuantileEmbedding`: a torso's output for fractions of probability (Dabney et al. 2018b)."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl import ops
from polyrl.networks.drawing import forward_pass
from polyrl.validation import check_int


class QuantileEmbedding(tf_keras.layers.Layer):
    """`x * relu(sum_i cos(pi i tau) w_i + b)` for fractions `tau`: `[B, d]` to `[B, N, d]` and the fractions `[B, N]` (eq. 4).

    Where a forward pass draws, the fractions are uniformly random, others for each row: `num_samples` of them where it learns,
    `num_policy_samples` where it acts. Elsewhere they are the midpoints of `num_policy_samples` equal parts of [0, 1].

    Args:
        num_samples: N in learning.
        num_policy_samples: N elsewhere.
        num_cosines: how many cosines, from i = 0 on.
        **arguments: those of a tf-keras layer.
    """

    def __init__(self, num_samples: int = 64, num_policy_samples: int = 32, num_cosines: int = 64, **arguments: Any):
        super().__init__(**arguments)
        self.num_samples = check_int("num_samples", num_samples, minimum=1)
        self.num_policy_samples = check_int("num_policy_samples", num_policy_samples, minimum=1)
        self.num_cosines = check_int("num_cosines", num_cosines, minimum=1)

    def build(self, input_shape: Any) -> None:
        """Creates the weights of the cosines."""
        size = int(input_shape[-1])
        self.kernel = self.add_weight(name="kernel", shape=[self.num_cosines, size], initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=[size], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The product for each fraction, and the fractions."""
        fractions = self._fractions(tf.shape(inputs)[0])  # [B, N]
        waves = math.pi * tf.range(self.num_cosines, dtype=tf.float32)  # [C]
        cosines = tf.cos(fractions[:, :, tf.newaxis] * waves)  # [B, N, C]
        kernel = tf.convert_to_tensor(self.kernel)
        flat = tf.reshape(tf.cast(cosines, kernel.dtype), [-1, self.num_cosines])
        embedded = tf.nn.relu(tf.nn.bias_add(tf.matmul(flat, kernel), self.bias))  # [B N, d]
        shape = tf.concat([tf.shape(fractions), tf.shape(kernel)[1:]], axis=0)
        return tf.cast(inputs, kernel.dtype)[:, tf.newaxis, :] * tf.reshape(embedded, shape), fractions

    def _fractions(self, rows: tf.Tensor) -> tf.Tensor:
        drawn = forward_pass()
        if drawn is None:
            return tf.zeros([rows, 1]) + ops.quantile_midpoints(self.num_policy_samples)
        count = self.num_samples if drawn.learns else self.num_policy_samples
        return ops.uniform(tf.stack([rows, count]), drawn.next_seed())

    def get_config(self) -> dict[str, Any]:
        """The arguments, for copies and checkpoints."""
        own = {name: getattr(self, name) for name in ("num_samples", "num_policy_samples", "num_cosines")}
        return {**super().get_config(), **own}
