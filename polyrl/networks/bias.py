"""Layers that add a bias, for what computes in bfloat16: TensorFlow's own way loses most of the bias's gradient there."""

from __future__ import annotations

import tensorflow as tf
import tf_keras


def add_bias(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """`x + bias`, `[..., n]` and `[n]` of the same dtype.

    On a CPU TensorFlow's `bias_add` sums its gradient in bfloat16, with 8 bits: the sum stands still once it is 256 times as
    large as what is added. For the first convolution of `nature_cnn` and 32 images it was wrong by a third. The gradient of a
    plain `+` is summed in float32 and then rounded; with float16 it is the other way round.
    """
    return x + bias if x.dtype == tf.bfloat16 else tf.nn.bias_add(x, bias)


class Dense(tf_keras.layers.Dense):
    """That of tf-keras, with `add_bias`. The same weights under the same names: they fit one another."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The output, `[..., units]`."""
        return self.activation(add_bias(tf.matmul(inputs, self.kernel), tf.convert_to_tensor(self.bias)))
