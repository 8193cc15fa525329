"""The explorers: they turn action values, or greedy actions, into the actions that are taken in training.

Continuous actions are in units of half the range here: -1 is the lowest and 1 the highest action, and noise with a standard
deviation of 0.1 is a twentieth of the range.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import tensorflow as tf

from polyrl import ops


class Explorer(tf.Module):
    """Chooses the actions of `N` environments, one in each row.

    Args:
        config: the exploration config, for its parameters other than the rate.
        shape: shape of the batch of actions, `[N]` or `[N, k]`.

    Attributes:
        STATEFUL: whether it has variables that change from step to step. A checkpoint holds them where environments in the
            graph continue in mid-episode; elsewhere a resumed run starts new episodes.
        HIGHEST_RATE: rates are between 0 and this.
    """

    STATEFUL: ClassVar[bool] = False
    HIGHEST_RATE: ClassVar[float] = math.inf

    def __init__(self, config: Any, shape: tf.TensorShape):
        super().__init__(name="explorer")
        self._config, self._shape = config, shape

    def __call__(
        self,
        preferred: tf.Tensor,
        /,
        rate: tf.Tensor,
        seed: tf.Tensor,
        is_first: tf.Tensor | None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The actions to take.

        Args:
            preferred: for discrete actions their values `[N, A]`; for continuous ones the greedy actions `[N, k]` in [-1, 1].
            rate: the config's rate at the present timestep, a scalar.
            seed: int `[2]`; the same seed gives the same actions.
            is_first: whether each state is the first of an episode, bool `[N]`; only a stateful explorer needs it.
            mask: for discrete actions the legal ones, bool `[N, A]`; None: all are legal.

        Returns:
            int32 `[N]`, or float32 `[N, k]` within [-1, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__.")


class RandomAtFirst(Explorer):
    """Uniformly random actions as long as `timestep()`, a scalar, is below `warmup`; then those of another explorer."""

    def __init__(self, explorer: Explorer, uniform: Explorer, timestep: Callable[[], tf.Tensor], warmup: int):
        tf.Module.__init__(self, name="explorer")
        self._explorer, self._uniform, self._timestep, self._warmup = explorer, uniform, timestep, warmup

    def __call__(
        self,
        preferred: tf.Tensor,
        /,
        rate: tf.Tensor,
        seed: tf.Tensor,
        is_first: tf.Tensor | None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        known = self._explorer(preferred, rate, seed, is_first, mask)
        # Only one of the two is used: they may share the seed.
        random = self._uniform(preferred, tf.ones([]), seed, is_first, mask)
        return tf.where(self._timestep() < self._warmup, random, known)


class EpsilonGreedy(Explorer):
    """A random action with probability `rate`, independently for each row."""

    HIGHEST_RATE: ClassVar[float] = 1.0

    def __call__(
        self, values: tf.Tensor, /, rate: tf.Tensor, seed: tf.Tensor, is_first: tf.Tensor | None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        return ops.epsilon_greedy(values, rate, seed, mask)


class Boltzmann(Explorer):
    """Actions with probability `softmax(Q / rate)`; the rate is the temperature, and 0 gives the greedy actions."""

    def __call__(
        self, values: tf.Tensor, /, rate: tf.Tensor, seed: tf.Tensor, is_first: tf.Tensor | None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        return ops.boltzmann(values, rate, seed, mask)


class UniformActions(Explorer):
    """Uniformly random continuous actions, over the whole range."""

    def __call__(
        self, greedy: tf.Tensor, /, rate: tf.Tensor, seed: tf.Tensor, is_first: tf.Tensor | None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        return ops.uniform(tf.shape(greedy), seed) * 2.0 - 1.0


class GaussianNoise(Explorer):
    """The greedy action plus independent normal noise with standard deviation `rate`, clipped to the range."""

    def __call__(
        self, greedy: tf.Tensor, /, rate: tf.Tensor, seed: tf.Tensor, is_first: tf.Tensor | None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        return tf.clip_by_value(greedy + rate * ops.normal(tf.shape(greedy), seed), -1.0, 1.0)


class OrnsteinUhlenbeckNoise(Explorer):
    """The greedy action plus temporally correlated noise, independent for each environment, from 0 at each episode's start."""

    STATEFUL: ClassVar[bool] = True

    def __init__(self, config: Any, shape: tf.TensorShape):
        super().__init__(config, shape)
        if not shape.is_fully_defined():
            raise ValueError(
                f"Temporally correlated noise needs to know the number of environments; the actions have shape {shape}."
            )
        self.noise = tf.Variable(tf.zeros(shape), trainable=False, name="noise")

    def __call__(
        self, greedy: tf.Tensor, /, rate: tf.Tensor, seed: tf.Tensor, is_first: tf.Tensor | None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        if is_first is None:
            raise ValueError(
                "features['step_type'] is missing: temporally correlated noise must know where episodes start. Give the model "
                "the features that model_fn gets, or a step_type [B]: 0 in the first state of an episode, 1 elsewhere."
            )
        previous = tf.where(is_first[:, tf.newaxis], 0.0, self.noise.read_value())
        normal = ops.normal(self._shape, seed)
        config = self._config
        noise = ops.ornstein_uhlenbeck(previous, normal, config.theta, config.mu, rate, config.dt)
        self.noise.assign(noise)
        return tf.clip_by_value(greedy + noise, -1.0, 1.0)
