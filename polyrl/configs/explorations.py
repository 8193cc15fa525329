"""How often the training policy acts at random, as a function of `global_timestep` (environment steps)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

from polyrl.configs.base import Config
from polyrl.validation import check_float, check_increasing, check_int

import tensorflow as tf
import tf_keras

schedules = tf_keras.optimizers.schedules


@dataclasses.dataclass(frozen=True)
class ExplorationConfig(Config):
    """The probability of a random action (epsilon). Used while training only, never in eval or infer."""

    def rate(self, timestep: tf.Tensor) -> tf.Tensor:
        """Epsilon, a float32 scalar in [0, 1], at `timestep` (int64 scalar, environment steps)."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class ConstantExplorationConfig(ExplorationConfig):
    """The same epsilon for ever."""

    IDENTIFIER: ClassVar[str] = "constant"
    value: float = 0.05

    def _validate(self) -> None:
        check_float("value", self.value, 0.0, 1.0)

    def rate(self, timestep: tf.Tensor) -> tf.Tensor:
        return tf.constant(self.value, tf.float32)


@dataclasses.dataclass(frozen=True)
class GreedyExplorationConfig(ExplorationConfig):
    """No exploration: epsilon is 0."""

    IDENTIFIER: ClassVar[str] = "greedy"

    def rate(self, timestep: tf.Tensor) -> tf.Tensor:
        return tf.constant(0.0, tf.float32)


@dataclasses.dataclass(frozen=True)
class RandomExplorationConfig(ExplorationConfig):
    """Exploration only: epsilon is 1."""

    IDENTIFIER: ClassVar[str] = "random"

    def rate(self, timestep: tf.Tensor) -> tf.Tensor:
        return tf.constant(1.0, tf.float32)


@dataclasses.dataclass(frozen=True)
class DecayExplorationConfig(ExplorationConfig):
    """An epsilon that decays with the environment steps taken, never below `min_exploration_rate`.

    With `t` the environment steps since `start_decay_at` (zero before it, and no longer growing after `stop_decay_at`):

    | decay_type | epsilon |
    |---|---|
    | `polynomial_decay` | from `exploration_rate` to the minimum over `decay_steps`; linear with `power=1` |
    | `exponential_decay` | `exploration_rate * decay_rate ** (t / decay_steps)` |
    | `natural_exp_decay` | `exploration_rate * exp(-decay_rate * t / decay_steps)` |
    | `inverse_time_decay` | `exploration_rate / (1 + decay_rate * t / decay_steps)` |
    | `piecewise_constant` | `values[i]` up to and at `boundaries[i]` |

    `staircase` decays once every `decay_steps` (the three middle ones); `cycle` restarts the polynomial.
    """

    IDENTIFIER: ClassVar[str] = "decay"
    exploration_rate: float = 1.0
    decay_type: str = "polynomial_decay"
    start_decay_at: int = 0
    stop_decay_at: int = 10**9
    decay_rate: float = 0.5
    staircase: bool = False
    decay_steps: int = 10_000
    min_exploration_rate: float = 0.05
    power: float = 1.0
    cycle: bool = False
    boundaries: tuple[int, ...] = ()
    values: tuple[float, ...] = ()

    def _validate(self) -> None:
        check_float("exploration_rate", self.exploration_rate, 0.0, 1.0)
        check_float("min_exploration_rate", self.min_exploration_rate, 0.0, 1.0)
        check_int("start_decay_at", self.start_decay_at, 0)
        check_int("stop_decay_at", self.stop_decay_at, self.start_decay_at)
        check_int("decay_steps", self.decay_steps, 1)
        # More than 1 would make an exponential grow.
        check_float("decay_rate", self.decay_rate, 0.0, 1.0 if self.decay_type == "exponential_decay" else math.inf)
        check_float("power", self.power, 0.0)
        check_increasing("boundaries", self.boundaries)
        if self.decay_type not in _DECAYS:
            raise ValueError(f"decay_type={self.decay_type!r} is unknown; use one of {sorted(_DECAYS)}.")
        piecewise = self.decay_type == "piecewise_constant"
        if piecewise and (not self.boundaries or len(self.values) != len(self.boundaries) + 1):
            raise ValueError(
                f"piecewise_constant needs boundaries and one value more than boundaries; "
                f"got boundaries={self.boundaries}, values={self.values}."
            )
        if not piecewise and (self.boundaries or self.values):
            raise ValueError(f"boundaries and values belong to piecewise_constant, not to {self.decay_type}.")
        for value in self.values:
            check_float("values", value, 0.0, 1.0)

    def rate(self, timestep: tf.Tensor) -> tf.Tensor:
        elapsed = tf.clip_by_value(tf.cast(timestep, tf.int64), self.start_decay_at, self.stop_decay_at)
        elapsed -= self.start_decay_at
        return tf.maximum(tf.cast(_DECAYS[self.decay_type](self)(elapsed), tf.float32), self.min_exploration_rate)


def _natural_exp_decay(config: DecayExplorationConfig) -> Callable[[tf.Tensor], tf.Tensor]:
    """Not as an exponential decay by `exp(-decay_rate)`: for a small rate that is 1 in float32."""

    def rate(elapsed: tf.Tensor) -> tf.Tensor:
        periods = tf.cast(elapsed / config.decay_steps, tf.float32)
        return config.exploration_rate * tf.exp(-config.decay_rate * (tf.floor(periods) if config.staircase else periods))

    return rate


_DECAYS = {
    "polynomial_decay": lambda c: schedules.PolynomialDecay(
        c.exploration_rate, c.decay_steps, c.min_exploration_rate, c.power, c.cycle
    ),
    "exponential_decay": lambda c: schedules.ExponentialDecay(c.exploration_rate, c.decay_steps, c.decay_rate, c.staircase),
    "natural_exp_decay": _natural_exp_decay,
    "inverse_time_decay": lambda c: schedules.InverseTimeDecay(c.exploration_rate, c.decay_steps, c.decay_rate, c.staircase),
    "piecewise_constant": lambda c: schedules.PiecewiseConstantDecay(list(c.boundaries), list(c.values)),
}
