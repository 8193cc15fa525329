"""`NoisyDense`: a dense layer whose weights have learned noise (Fortunato et al. 2018)."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.networks.bias import add_bias
from polyrl.networks.drawing import forward_pass
from polyrl.networks.random_numbers import hashed_normal
from polyrl.validation import check_float, check_int


class NoisyDense(tf_keras.layers.Layer):
    """`y = (mu_w + sigma_w * eps_w) x + mu_b + sigma_b * eps_b` with factorised noise; `[..., n]` to `[..., units]`.

    `eps_w = f(e_in) f(e_out)^T`, `eps_b = f(e_out)` with standard normal `e_in [n]`, `e_out [units]` and `f(x) = sign(x)
    sqrt(|x|)` (equations 10 and 11). One sample for each forward pass, the same for all rows; in evaluation there is none.

    Args:
        units: of the output.
        activation: a name or a function.
        sigma: the noise's initial scale, `sigma / sqrt(n)`; 0.5 in the paper.
        **arguments: those of a tf-keras layer.
    """

    def __init__(self, units: int, activation: Any = None, sigma: float = 0.5, **arguments: Any):
        super().__init__(**arguments)
        self.units = check_int("units", units, minimum=1)
        self.activation = tf_keras.activations.get(activation)
        self.sigma = check_float("sigma", sigma, 0.0)

    def build(self, input_shape: Any) -> None:
        """Creates the means, uniform in `+-1 / sqrt(n)`, and the scales of the noise."""
        size = int(input_shape[-1])
        limit = 1.0 / math.sqrt(size)
        means = [tf_keras.initializers.RandomUniform(-limit, limit) for _ in range(2)]
        scale = tf_keras.initializers.Constant(self.sigma * limit)
        self.kernel = self.add_weight(name="kernel", shape=[size, self.units], initializer=means[0])
        self.bias = self.add_weight(name="bias", shape=[self.units], initializer=means[1])
        self.kernel_sigma = self.add_weight(name="kernel_sigma", shape=[size, self.units], initializer=scale)
        self.bias_sigma = self.add_weight(name="bias_sigma", shape=[self.units], initializer=scale)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The output, with noise where the forward pass draws."""
        kernel, bias, drawn = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias), forward_pass()
        if drawn is not None:
            size = kernel.shape[0]
            noise = tf.cast(_signed_root(hashed_normal(size + self.units, drawn.next_seed())), kernel.dtype)
            before, after = noise[:size], noise[size:]
            kernel += self.kernel_sigma * before[:, tf.newaxis] * after[tf.newaxis, :]
            bias += self.bias_sigma * after
        inputs = tf.cast(inputs, kernel.dtype)
        if inputs.shape.rank == 2:
            return self.activation(add_bias(tf.matmul(inputs, kernel), bias))
        flat = tf.reshape(inputs, [-1, kernel.shape[0]])  # One product, not one for each row.
        shape = tf.concat([tf.shape(inputs)[:-1], [self.units]], axis=0)
        outputs = tf.reshape(add_bias(tf.matmul(flat, kernel), bias), shape)
        return self.activation(tf.ensure_shape(outputs, [*inputs.shape[:-1], self.units]))

    def get_config(self) -> dict[str, Any]:
        """The arguments, for copies and checkpoints."""
        activation = tf_keras.activations.serialize(self.activation)
        return {**super().get_config(), "units": self.units, "activation": activation, "sigma": self.sigma}


def _signed_root(x: tf.Tensor) -> tf.Tensor:
    """`sign(x) sqrt(|x|)`, as a quotient.

    XLA computes cheap elementwise code again for each element of what uses it: here a number for each row of the kernel, with
    its logarithm and cosine. It does not do so with a quotient. Of the forms that were tried, this one alone is quick;
    without the maximum XLA makes a product of it.
    """
    return x / tf.maximum(tf.sqrt(tf.abs(x)), 1e-15)
