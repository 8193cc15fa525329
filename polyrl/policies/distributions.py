"""Distributions over actions, that can be drawn from with a stateless seed, eagerly, in a graph and with XLA.

tensorflow_probability is imported by `to_tfp` alone: the import takes a second, and a policy that only acts can do without.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from polyrl import ops
from polyrl.ops.exploration import gumbel_argmax
from polyrl.policies.masks import SMALLEST_TEMPERATURE, tempered


@dataclasses.dataclass(frozen=True, eq=False)
class CategoricalActions:
    """One of `A` discrete actions in each row, with probability `softmax(logits)`.

    Args:
        logits: float32 `[B, A]`; minus infinity for an action that is never drawn.
        dtype: of the actions.
    """

    logits: tf.Tensor
    dtype: tf.DType

    def sample(self, seed: tf.Tensor) -> tf.Tensor:
        """Draws actions `[B]`; the seed is an int32 tensor `[2]`."""
        # The highest logit becomes 0: random numbers would be lost in the rounding of large ones.
        highest = tf.maximum(tf.reduce_max(self.logits, axis=1, keepdims=True), self.logits.dtype.min)
        return tf.cast(gumbel_argmax(self.logits - highest, seed), self.dtype)

    def log_prob(self, action: tf.Tensor) -> tf.Tensor:
        """The log-probability of actions `[B]`, float32 `[B]`."""
        return tf.gather(tf.nn.log_softmax(self.logits), tf.cast(action, tf.int32), batch_dims=1)

    def tempered(self, temperature: Any) -> CategoricalActions:
        """The distribution with probabilities to the power of `1 / temperature`; at 0 the most probable action."""
        return dataclasses.replace(self, logits=tempered(self.logits, self.logits > float("-inf"), temperature))

    def outputs(self) -> dict[str, tf.Tensor]:
        """What a saved policy returns of the distribution: `probabilities` float32 `[B, A]`."""
        return {"probabilities": tf.nn.softmax(self.logits)}

    def to_tfp(self) -> Any:
        """The distribution as a `tfp.distributions.Categorical`."""
        import tensorflow_probability as tfp

        return tfp.distributions.Categorical(logits=self.logits, dtype=self.dtype)


@dataclasses.dataclass(frozen=True, eq=False)
class NormalActions:
    """Continuous actions `[k]`: normal around a mean with covariance `temperature * (L L^T)^-1`, then clipped to the bounds.

    Mean and covariance are in units of half the range, in which -1 is the lowest action and 1 the highest.

    Args:
        mean: float32 `[B, k]`.
        scale: `L`, lower triangular, float32 `[B, k, k]`; None for actions that always equal the mean.
        temperature: at least 0; a number, or float32 `[]`.
        low: the lowest action, float32 `[k]`.
        high: the highest action, float32 `[k]`.
    """

    mean: tf.Tensor
    scale: tf.Tensor | None
    temperature: Any
    low: np.ndarray
    high: np.ndarray

    def sample(self, seed: tf.Tensor) -> tf.Tensor:
        """Draws actions float32 `[B, k]` within the bounds; the seed is an int32 tensor `[2]`."""
        return tf.clip_by_value(self._in_own_units(self._drawn(seed)), self.low, self.high)

    def log_prob(self, action: tf.Tensor) -> tf.Tensor:
        """The log-density before clipping, in the action's own units, at actions `[B, k]`: float32 `[B]`.

        Raises:
            ValueError: if the actions always equal the mean, which has no density.
        """
        if self.scale is None:
            raise ValueError(
                "At temperature 0 a continuous action has no probability density: leave emit_log_probability off."
            )
        factor = self._precision_factor()
        deviation = tf.linalg.matvec(factor, action - self._in_own_units(self.mean), transpose_a=True)  # [B, k]
        log_determinant = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)), axis=1)
        size = len(self.low)
        return log_determinant - 0.5 * (tf.reduce_sum(tf.square(deviation), axis=1) + size * math.log(2.0 * math.pi))

    def tempered(self, temperature: Any) -> NormalActions:
        """The distribution with its density to the power of `1 / temperature`; at 0 the mean."""
        if self.scale is None:
            return self
        known = tf.get_static_value(temperature) if tf.is_tensor(temperature) else temperature
        product = self.temperature * (temperature if known is None else float(known))
        if not tf.is_tensor(product) and product < SMALLEST_TEMPERATURE:
            return dataclasses.replace(self, scale=None, temperature=0.0)
        return dataclasses.replace(self, temperature=product)

    def outputs(self) -> dict[str, tf.Tensor]:
        """What a saved policy returns of the distribution before clipping, in the action's own units.

        `mean` float32 `[B, k]` and `covariance` float32 `[B, k, k]`.
        """
        size = len(self.low)
        covariance = tf.zeros([tf.shape(self.mean)[0], size, size])
        if self.scale is not None:
            identity = tf.eye(size, batch_shape=[tf.shape(self.mean)[0]])
            inverse = tf.linalg.triangular_solve(self.scale, identity) * self._half_range  # L^-1 D
            covariance = self.temperature * tf.matmul(inverse, inverse, transpose_a=True)
        return {"mean": self._in_own_units(self.mean), "covariance": covariance}

    def to_tfp(self) -> Any:
        """The distribution before clipping, in the action's own units: multivariate normal, or `VectorDeterministic`."""
        import tensorflow_probability as tfp

        mean = self._in_own_units(self.mean)
        if self.scale is None:
            return tfp.distributions.VectorDeterministic(mean)
        factor = tf.linalg.LinearOperatorLowerTriangular(self._precision_factor(), is_non_singular=True)
        return tfp.distributions.MultivariateNormalLinearOperator(mean, factor.adjoint().inverse())

    # Parts. -------------------------------------------------------------------------------------------------------------

    @property
    def _half_range(self) -> np.ndarray:
        return 0.5 * (self.high - self.low)

    def _in_own_units(self, unit: tf.Tensor) -> tf.Tensor:
        return self.low + (unit + 1.0) * self._half_range

    def _drawn(self, seed: tf.Tensor) -> tf.Tensor:
        """Actions `[B, k]` in units of half the range, before clipping."""
        if self.scale is None:
            return self.mean
        if not tf.is_tensor(self.temperature):
            return ops.sample_normalized(self.mean, self.scale, self.temperature, seed)
        divides = self.temperature >= SMALLEST_TEMPERATURE
        scale = self.scale / tf.sqrt(tf.where(divides, self.temperature, 1.0))
        return tf.where(divides, ops.sample_normalized(self.mean, scale, 1.0, seed), self.mean)

    def _precision_factor(self) -> tf.Tensor:
        """`F`, lower triangular `[B, k, k]`: in the action's own units the covariance is `(F F^T)^-1`."""
        if tf.is_tensor(self.temperature):
            deviation = tf.sqrt(tf.maximum(self.temperature, SMALLEST_TEMPERATURE))
        else:
            deviation = math.sqrt(self.temperature)
        return self.scale / (self._half_range[:, np.newaxis] * deviation)


ActionDistribution: TypeAlias = CategoricalActions | NormalActions
