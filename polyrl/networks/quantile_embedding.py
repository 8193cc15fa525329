"""`QuantileEmbedding`: a torso's output for fractions of probability (Dabney et al. 2018b)."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl import ops
from polyrl.engine.replicas import own_rows
from polyrl.networks.drawing import forward_pass
from polyrl.networks.random_numbers import hashed_uniform
from polyrl.validation import check_bool, check_int

TERMS = tuple((-1) ** n * math.pi ** (2 * n + 1) / math.factorial(2 * n + 1) for n in range(7))
"""The first coefficients of the sine's Taylor series `sin(pi x) = TERMS[0] x + TERMS[1] x^3 + ...`: enough up to x = 1/2."""

NUM_COSINES = 64
"""Of the embedding, by default (Dabney et al. 2018b, section 3.1)."""


class QuantileEmbedding(tf_keras.layers.Layer):
    """`x * relu(sum_i cos(pi i tau) w_i + b)` for fractions `tau`: `[B, d]` to `[B, N, d]` and the fractions `[B, N]` (eq. 4).

    Where a forward pass draws, the fractions are uniformly random, others for each row: `num_samples` of them where it learns,
    `num_policy_samples` where it acts. Elsewhere they are the midpoints of `num_policy_samples` equal parts of [0, 1].

    Args:
        num_samples: N in learning.
        num_policy_samples: N elsewhere.
        num_cosines: how many cosines, from i = 0 on.
        product: whether it gives the product with `x`; otherwise the other factor alone, the `relu(...)`.
        **arguments: those of a tf-keras layer.
    """

    def __init__(
        self,
        num_samples: int = 64,
        num_policy_samples: int = 32,
        num_cosines: int = NUM_COSINES,
        product: bool = True,
        **arguments: Any,
    ):
        super().__init__(**arguments)
        self.product = check_bool("product", product)
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
        kernel = tf.convert_to_tensor(self.kernel)
        cosines = tf.cast(cosine_waves(tf.reshape(fractions, [-1]), self.num_cosines), kernel.dtype)  # [B N, C]
        embedded = tf.nn.relu(tf.nn.bias_add(tf.matmul(cosines, kernel), self.bias))  # [B N, d]
        embedded = tf.reshape(embedded, tf.concat([tf.shape(fractions), tf.shape(kernel)[1:]], axis=0))
        if self.product:
            embedded *= tf.cast(inputs, kernel.dtype)[:, tf.newaxis, :]
        return embedded, fractions

    def _fractions(self, rows: tf.Tensor) -> tf.Tensor:
        drawn = forward_pass()
        if drawn is None:
            return tf.zeros([rows, 1]) + ops.quantile_midpoints(self.num_policy_samples)
        count = self.num_samples if drawn.learns else self.num_policy_samples
        seed = drawn.next_seed()
        return own_rows(lambda number: hashed_uniform(tf.stack([number, count]), seed), rows)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for copies and checkpoints."""
        own = {name: getattr(self, name) for name in ("num_samples", "num_policy_samples", "num_cosines", "product")}
        return {**super().get_config(), **own}


def cosine_waves(x: tf.Tensor, count: int) -> tf.Tensor:
    """`cos(pi i x)` for i from 0 to `count` - 1: `[n]` to `[n, count]`.

    From `cos(a) = 1 - 2 sin(a / 2)^2` and the sine's series, whose products and sums a processor does for many numbers at
    once. XLA's own cosine took a third of IQN's time.
    """
    turns = x[:, tf.newaxis] * (0.5 * tf.range(count, dtype=x.dtype))  # Of the circle.
    turns -= tf.round(turns)  # In [-1/2, 1/2].
    square = turns * turns
    series = TERMS[-1] * square + TERMS[-2]
    for term in TERMS[-3::-1]:
        series = series * square + term
    sine = series * turns
    return 1.0 - 2.0 * sine * sine
