"""`Nadam` that takes the same steps in a graph as in eager mode; elsewhere tf-keras's optimizers are used as they are."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

DECAY = 0.96
TERMS = 512
"""Factors of the product of momenta that differ from `beta_1` in float32: `DECAY ** TERMS` is below its precision."""


class Nadam(tf_keras.optimizers.Nadam):
    """Adam with Nesterov momentum (Dozat 2015), with the product of the momenta computed from the number of steps.

    tf-keras multiplies it up in a variable, and counts in Python how often. A graph that is traced once counts once, so that
    each variable multiplies it in each step; the first step of one that is traced again divides by zero.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """One step of one variable."""
        gradient = tf.convert_to_tensor(gradient)
        dtype = variable.dtype
        rate, step = tf.cast(self.learning_rate, dtype), self.iterations + 1
        index = self._index_dict[self._var_key(variable)]
        m, v = self._momentums[index], self._velocities[index]
        u, next_u = self._momentum(step, dtype), self._momentum(step + 1, dtype)
        product = self._product(step, dtype)
        m.assign_add((gradient - m) * (1.0 - self.beta_1))
        v.assign_add((tf.square(gradient) - v) * (1.0 - self.beta_2))
        m_hat = next_u * m / (1.0 - product * next_u) + (1.0 - u) * gradient / (1.0 - product)
        v_hat = v / (1.0 - tf.pow(tf.cast(self.beta_2, dtype), tf.cast(step, dtype)))
        variable.assign_sub(m_hat * rate / (tf.sqrt(v_hat) + self.epsilon))

    def _momentum(self, step: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """`beta_1 (1 - 0.96^step / 2)`, which grows towards `beta_1`."""
        return self.beta_1 * (1.0 - 0.5 * tf.pow(tf.cast(DECAY, dtype), tf.cast(step, dtype)))

    def _product(self, step: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """The product of the momenta of the steps up to this one."""
        steps = tf.range(1, TERMS + 1, dtype=self.iterations.dtype)
        logs = tf.math.log1p(-0.5 * tf.pow(tf.cast(DECAY, dtype), tf.cast(steps, dtype)))
        counted = tf.where(steps <= step, logs, tf.zeros_like(logs))
        return tf.pow(tf.cast(self.beta_1, dtype), tf.cast(step, dtype)) * tf.exp(tf.reduce_sum(counted))
