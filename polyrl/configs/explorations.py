"""How much the training policy explores, as a function of `global_timestep` (environment steps).

For discrete actions most configs give epsilon, the probability of a random action. For continuous actions they give the
standard deviation of zero-mean noise, in units of half the action's range. `polyrl.explorations` applies them to the actions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import tensorflow as tf
import tf_keras

from polyrl.configs import schedules
from polyrl.configs.base import Config
from polyrl.validation import check_float, check_increasing, check_int


@dataclasses.dataclass(frozen=True)
class ExplorationConfig(Config):
    """How much to explore. Used in training only, never in the modes `'eval'` and `'infer'`.

    In the first `warmup_timesteps` environment steps all actions are uniformly random, whatever `rate` says.
    """

    warmup_timesteps: int = dataclasses.field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("warmup_timesteps", self.warmup_timesteps, 0)

    def rate(self, timestep: tf.Tensor) -> tf.Tensor:
        """Epsilon, or the standard deviation of the noise, at `timestep` (int64 scalar, environment steps): float32 scalar."""
        raise NotImplementedError(f"{type(self).__name__} must define rate; ConstantExplorationConfig and others here do.")


@dataclasses.dataclass(frozen=True)
class ConstantExplorationConfig(ExplorationConfig):
    """A constant epsilon, or standard deviation of normal noise."""

    IDENTIFIER: ClassVar[str] = "constant"
    value: float = 0.05

    def _validate(self) -> None:
        check_float("value", self.value, 0.0, 1.0)

    def rate(self, timestep: tf.Tensor) -> tf.Tensor:
        return tf.constant(self.value, tf.float32)


@dataclasses.dataclass(frozen=True)
class GreedyExplorationConfig(ExplorationConfig):
    """No exploration: epsilon, or the standard deviation of the noise, is 0."""

    IDENTIFIER: ClassVar[str] = "greedy"

    def rate(self, timestep: tf.Tensor) -> tf.Tensor:
        return tf.constant(0.0, tf.float32)


@dataclasses.dataclass(frozen=True)
class RandomExplorationConfig(ExplorationConfig):
    """Exploration only: uniformly random actions, over the whole range if they are continuous."""

    IDENTIFIER: ClassVar[str] = "random"

    def _validate(self) -> None:
        if self.warmup_timesteps > 0:
            raise ValueError(f"warmup_timesteps={self.warmup_timesteps} has no effect: all actions are random; leave it out.")

    def rate(self, timestep: tf.Tensor) -> tf.Tensor:
        return tf.constant(1.0, tf.float32)


@dataclasses.dataclass(frozen=True)
class DecayExplorationConfig(ExplorationConfig):
    """Epsilon, or the standard deviation of normal noise, decays with the environment steps, down to `min_exploration_rate`.

    `t` is the number of environment steps since `start_decay_at`: zero before it, and constant after `stop_decay_at`.

    | decay_type | epsilon |
    |---|---|
    | `polynomial_decay` | from `exploration_rate` to the minimum within `decay_steps`; linear with `power=1` |
    | `exponential_decay` | `exploration_rate * decay_rate ** (t / decay_steps)` |
    | `natural_exp_decay` | `exploration_rate * exp(-decay_rate * t / decay_steps)` |
    | `inverse_time_decay` | `exploration_rate / (1 + decay_rate * t / decay_steps)` |
    | `piecewise_constant` | `values[i]` up to and at `boundaries[i]` |

    With `staircase` the three middle ones decay in steps, once every `decay_steps`; `cycle` restarts the polynomial.
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
        if check_int("stop_decay_at", self.stop_decay_at, 0) < self.start_decay_at:
            raise ValueError(f"stop_decay_at={self.stop_decay_at} must be at least start_decay_at={self.start_decay_at}.")
        check_int("decay_steps", self.decay_steps, 1)
        # A rate above 1 would make the exponential grow.
        check_float("decay_rate", self.decay_rate, 0.0, 1.0 if self.decay_type == "exponential_decay" else math.inf)
        check_float("power", self.power, 0.0)
        check_increasing("boundaries", self.boundaries)
        if self.decay_type not in _DECAYS:
            linear = " With power=1, the default, polynomial_decay is linear." if self.decay_type == "linear" else ""
            raise ValueError(f"decay_type={self.decay_type!r} is unknown; use one of {sorted(_DECAYS)}.{linear}")
        piecewise = self.decay_type == "piecewise_constant"
        if piecewise and (not self.boundaries or len(self.values) != len(self.boundaries) + 1):
            raise ValueError(
                f"piecewise_constant needs boundaries, and one more value than boundaries; "
                f"got boundaries={self.boundaries}, values={self.values}."
            )
        if not piecewise and (self.boundaries or self.values):
            raise ValueError(f"boundaries and values belong to piecewise_constant, not to {self.decay_type}.")
        for value in self.values:
            check_float("values", value, 0.0, 1.0)
        self._check_used()
        if not piecewise and self.exploration_rate < self.min_exploration_rate:
            raise ValueError(
                f"min_exploration_rate={self.min_exploration_rate} is above exploration_rate={self.exploration_rate}, which "
                "it would replace; give a smaller one."
            )

    def _check_used(self) -> None:
        """Refuses what the type of decay does not read."""
        for field in dataclasses.fields(self):
            readers = _READ_BY.get(field.name)
            value = getattr(self, field.name)
            if readers is not None and self.decay_type not in readers and value != field.default:
                raise ValueError(
                    f"{field.name}={value} has no effect with decay_type={self.decay_type!r}: it is for {', '.join(readers)}. "
                    "Leave it out, or use another decay_type."
                )

    def rate(self, timestep: tf.Tensor) -> tf.Tensor:
        elapsed = tf.clip_by_value(tf.cast(timestep, tf.int64), self.start_decay_at, self.stop_decay_at)
        elapsed -= self.start_decay_at
        return tf.maximum(tf.cast(_DECAYS[self.decay_type](self)(elapsed), tf.float32), self.min_exploration_rate)


@dataclasses.dataclass(frozen=True)
class RandomDecayExplorationConfig(DecayExplorationConfig):
    """Independent normal noise on continuous actions, with a standard deviation that decays as in `DecayExplorationConfig`.

    It does the same as `DecayExplorationConfig` does for continuous actions, but refuses discrete ones.
    """

    IDENTIFIER: ClassVar[str] = "random_decay"


@dataclasses.dataclass(frozen=True)
class OrnsteinUhlenbeckExplorationConfig(ExplorationConfig):
    """Temporally correlated noise on continuous actions (Uhlenbeck and Ornstein 1930; Lillicrap et al. 2016).

    `x' = x + theta (mu - x) dt + sigma sqrt(dt) n` with standard normal `n`, starting from 0 in each episode, independently
    for each environment and each action dimension. In units of half the action's range.
    """

    IDENTIFIER: ClassVar[str] = "ornstein_uhlenbeck"
    sigma: float = 0.3
    mu: float = 0.0
    theta: float = 0.15
    dt: float = 1.0

    def _validate(self) -> None:
        check_float("sigma", self.sigma, 0.0)
        check_float("mu", self.mu)
        check_float("theta", self.theta, 0.0)
        check_float("dt", self.dt, 0.0)
        if self.dt == 0.0:
            raise ValueError(f"dt={self.dt} must be above 0.")
        if self.theta * self.dt >= 2.0:
            raise ValueError(f"theta={self.theta} and dt={self.dt}: theta * dt must be below 2, or the noise diverges.")

    def rate(self, timestep: tf.Tensor) -> tf.Tensor:
        """`sigma`."""
        return tf.constant(self.sigma, tf.float32)


@dataclasses.dataclass(frozen=True)
class BoltzmannExplorationConfig(ExplorationConfig):
    """Discrete actions with probability `softmax(Q / temperature)`.

    The temperature, in units of the action values, changes linearly from `temperature` to `final_temperature` (None: it is
    constant) within `decay_steps` environment steps.
    """

    IDENTIFIER: ClassVar[str] = "boltzmann"
    temperature: float = 1.0
    final_temperature: float | None = None
    decay_steps: int = 10_000

    def _validate(self) -> None:
        check_float("temperature", self.temperature, 0.0)
        if self.final_temperature is not None:
            check_float("final_temperature", self.final_temperature, 0.0)
        check_int("decay_steps", self.decay_steps, 1)
        if self.final_temperature is None and self.decay_steps != type(self).decay_steps:
            raise ValueError(
                f"decay_steps={self.decay_steps} has no effect without final_temperature; give one, or leave it out."
            )

    def rate(self, timestep: tf.Tensor) -> tf.Tensor:
        """The temperature."""
        final = self.temperature if self.final_temperature is None else self.final_temperature
        return tf.cast(schedules.PolynomialDecay(self.temperature, self.decay_steps, final)(timestep), tf.float32)


def _natural_exp_decay(config: DecayExplorationConfig) -> Callable[[tf.Tensor], tf.Tensor]:
    """`exp(-decay_rate * t)`, not `exp(-decay_rate) ** t`: for a small rate the base of that power is 1 in float32."""

    def rate(elapsed: tf.Tensor) -> tf.Tensor:
        periods = schedules.periods(elapsed, config.decay_steps, config.staircase)
        return config.exploration_rate * tf.exp(-config.decay_rate * periods)

    return rate


_DECAYS = {
    "polynomial_decay": lambda c: schedules.PolynomialDecay(
        c.exploration_rate, c.decay_steps, c.min_exploration_rate, c.power, c.cycle
    ),
    "exponential_decay": lambda c: schedules.ExponentialDecay(c.exploration_rate, c.decay_steps, c.decay_rate, c.staircase),
    "natural_exp_decay": _natural_exp_decay,
    "inverse_time_decay": lambda c: schedules.InverseTimeDecay(c.exploration_rate, c.decay_steps, c.decay_rate, c.staircase),
    "piecewise_constant": lambda c: tf_keras.optimizers.schedules.PiecewiseConstantDecay(list(c.boundaries), list(c.values)),
}

_STEPPED = ("exponential_decay", "natural_exp_decay", "inverse_time_decay")
_READ_BY = {
    "decay_rate": _STEPPED,
    "staircase": _STEPPED,
    "power": ("polynomial_decay",),
    "cycle": ("polynomial_decay",),
    "decay_steps": ("polynomial_decay", *_STEPPED),
    "exploration_rate": ("polynomial_decay", *_STEPPED),
}
"""The types of decay that read a field; all read the others."""
