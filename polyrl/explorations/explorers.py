"""The explorers: from what is best to what is done.

Continuous actions are in units of half the range here: -1 is the lowest, 1 the highest, and noise of scale 0.1 is a twentieth
of the range.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from polyrl import ops


class Explorer(tf.Module):
    """Chooses actions for `N` environments, row by row.

    Args:
        config: the exploration config, for what is not a rate.
        shape: of all actions, `[N]` or `[N, k]`.

    Attributes:
        STATEFUL: whether it has variables, which change from step to step. No checkpoint has them: a resumed run begins with
            new episodes.
    """

    STATEFUL: ClassVar[bool] = False

    def __init__(self, config: Any, shape: tf.TensorShape):
        super().__init__(name="explorer")
        self._config, self._shape = config, shape

    def __call__(
        self, best: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor, is_first: tf.Tensor | None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The actions.

        Args:
            best: action values `[N, A]` of discrete actions, the best ones `[N, k]` of continuous actions, within [-1, 1].
            rate: of the config at the present timestep, a scalar.
            seed: int `[2]`; the same seed gives the same actions.
            is_first: where an episode begins, bool `[N]`; only a stateful explorer needs it.
            mask: the legal ones of discrete actions, bool `[N, A]`; None: all of them.

        Returns:
            int32 `[N]`, or float32 `[N, k]` within [-1, 1].
        """
        raise NotImplementedError


class EpsilonGreedy(Explorer):
    """A random action with probability `rate`, decided row by row."""

    def __call__(
        self, best: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor, is_first: tf.Tensor | None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        return ops.epsilon_greedy(best, rate, seed, mask)


class Boltzmann(Explorer):
    """Actions with probability `softmax(Q / rate)`; at temperature 0 the best."""

    def __call__(
        self, best: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor, is_first: tf.Tensor | None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        return ops.boltzmann(best, rate, seed, mask)


class UniformActions(Explorer):
    """Any action of the range, whatever is best."""

    def __call__(
        self, best: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor, is_first: tf.Tensor | None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        return ops.uniform(tf.shape(best), seed) * 2.0 - 1.0


class GaussianNoise(Explorer):
    """The best action and independent normal noise of standard deviation `rate`, clipped to the range."""

    def __call__(
        self, best: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor, is_first: tf.Tensor | None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        return tf.clip_by_value(best + rate * ops.normal(tf.shape(best), seed), -1.0, 1.0)


class OrnsteinUhlenbeckNoise(Explorer):
    """The best action and temporally correlated noise, for each environment its own, from 0 in each episode."""

    STATEFUL: ClassVar[bool] = True

    def __init__(self, config: Any, shape: tf.TensorShape):
        super().__init__(config, shape)
        if not shape.is_fully_defined():
            raise ValueError(
                f"Temporally correlated noise needs to know the number of environments; the actions have shape {shape}."
            )
        self.noise = tf.Variable(tf.zeros(shape), trainable=False, name="noise")

    def __call__(
        self, best: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor, is_first: tf.Tensor | None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        if is_first is None:
            raise ValueError(
                "features['step_type'] is missing: temporally correlated noise must know where episodes begin. Give "
                "the model the features that model_fn gets, or a step_type [B], 0 where an episode begins and 1 elsewhere."
            )
        before = tf.where(is_first[:, tf.newaxis], 0.0, self.noise.read_value())
        normal = ops.normal(self._shape, seed)
        config = self._config
        noise = ops.ornstein_uhlenbeck(before, normal, config.theta, config.mu, rate, config.dt)
        self.noise.assign(noise)
        return tf.clip_by_value(best + noise, -1.0, 1.0)
