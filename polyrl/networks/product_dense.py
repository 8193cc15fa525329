"""`ProductDense`: a dense layer on the products of features with several embeddings, as the heads of IQN are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras


class ProductDense(tf_keras.layers.Dense):
    """`tf_keras.layers.Dense` on `x * e_n` for N embeddings: `[B, d]` and `[B, N, d]` to `[B, units, N]`.

    The kernel is multiplied by `x`, in place of the embeddings, which are many more: `sum_j (x_j e_nj) k_ja = sum_j e_nj (x_j
    k_ja)`. It also leaves out a product with a matrix of few columns, which XLA is slow at, see `NarrowDense`.
    """

    def __init__(self, units: int, activation: Any = None, **arguments: Any):
        super().__init__(units, activation, **arguments)
        self.input_spec = None

    def build(self, input_shape: Sequence[Any]) -> None:
        super().build(input_shape[0])
        self.input_spec = None  # Dense's is that of one tensor.

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        kernel = tf.convert_to_tensor(self.kernel)
        features, embeddings = (tf.cast(part, kernel.dtype) for part in inputs)
        rows = tf.stack(tf.unstack(kernel, axis=1))  # [units, d]; not `tf.transpose`, see `NarrowDense`.
        outputs = tf.matmul(features[:, tf.newaxis, :] * rows, embeddings, transpose_b=True)  # [B, units, N]
        if self.use_bias:
            outputs += tf.convert_to_tensor(self.bias)[:, tf.newaxis]
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tf.TensorShape:
        """`[B, units, N]`."""
        _, embeddings = (tf.TensorShape(shape) for shape in input_shape)
        return tf.TensorShape([embeddings[0], self.units, embeddings[1]])
