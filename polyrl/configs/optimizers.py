"""Configs of the tf-keras optimizers and learning-rate schedules, with the fields and defaults of tf-keras."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import tf_keras

from polyrl.configs import keras_optimizers, schedules
from polyrl.configs.base import LARGEST, Config, made
from polyrl.configs.ranges import check_ranges
from polyrl.validation import check_float, check_increasing


@dataclasses.dataclass(frozen=True)
class ScheduleConfig(Config):
    """A learning rate as a function of `global_step` (gradient updates)."""

    def build(self) -> tf_keras.optimizers.schedules.LearningRateSchedule:
        """The tf-keras schedule of the same name; its value at whole steps is the same under XLA."""
        plain = tf_keras.optimizers.schedules
        return made(self, ScheduleConfig, plain.LearningRateSchedule, schedules, plain)

    def _validate(self) -> None:
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class ExponentialDecayConfig(ScheduleConfig):
    """`initial_learning_rate * decay_rate ** (step / decay_steps)`."""

    IDENTIFIER: ClassVar[str] = "exponential_decay"
    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False


@dataclasses.dataclass(frozen=True)
class InverseTimeDecayConfig(ScheduleConfig):
    """`initial_learning_rate / (1 + decay_rate * step / decay_steps)`."""

    IDENTIFIER: ClassVar[str] = "inverse_time_decay"
    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False


@dataclasses.dataclass(frozen=True)
class PolynomialDecayConfig(ScheduleConfig):
    """From `initial_learning_rate` to `end_learning_rate` within `decay_steps`; linear with `power=1`."""

    IDENTIFIER: ClassVar[str] = "polynomial_decay"
    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False


@dataclasses.dataclass(frozen=True)
class PiecewiseConstantDecayConfig(ScheduleConfig):
    """`values[i]` up to and at `boundaries[i]`, the last value after the last boundary."""

    IDENTIFIER: ClassVar[str] = "piecewise_constant_decay"
    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def _validate(self) -> None:
        super()._validate()
        if not self.boundaries:
            raise ValueError(
                f"boundaries={self.boundaries} must have at least one entry; a constant rate is a plain number, as "
                "AdamConfig(learning_rate=0.001)."
            )
        check_increasing("boundaries", self.boundaries)
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values={self.values} must have one entry more than boundaries={self.boundaries}: expected "
                f"{len(self.boundaries) + 1}, got {len(self.values)}."
            )


@dataclasses.dataclass(frozen=True)
class CosineDecayConfig(ScheduleConfig):
    """Loshchilov and Hutter 2016: half a cosine from `initial_learning_rate` to `alpha` times it."""

    IDENTIFIER: ClassVar[str] = "cosine_decay"
    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0


@dataclasses.dataclass(frozen=True)
class CosineDecayRestartsConfig(ScheduleConfig):
    """Cosine decay with warm restarts (Loshchilov and Hutter 2016); each period is `t_mul` times as long as the one before."""

    IDENTIFIER: ClassVar[str] = "cosine_decay_restarts"
    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def _validate(self) -> None:
        super()._validate()
        # With shorter and shorter periods they would end at a finite step, and the rate be NaN from there on.
        check_float("t_mul", self.t_mul, minimum=1.0)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Config):
    """A tf-keras optimizer. `learning_rate` is a float or a `ScheduleConfig`.

    A subclass of one's own may override `build`, for an optimizer of any class and with any options; it must return a new one
    with each call. Without a `build` of its own it builds what its base class does.
    """

    learning_rate: float | ScheduleConfig = 0.001

    @property
    def element_wise(self) -> bool:
        """Whether the optimizer is known to treat each number of each variable alike, so that variables may be joined.

        It is for the configs of this module. What a subclass builds may clip by variable, keep averages or leave some out.
        """
        return type(self) in _ELEMENT_WISE

    def _validate(self) -> None:
        if callable(self.learning_rate):
            raise TypeError(
                f"learning_rate={self.learning_rate!r} must be a number or a ScheduleConfig, as "
                "AdamConfig(CosineDecayConfig(initial_learning_rate=0.001, decay_steps=10_000))."
            )
        if not isinstance(self.learning_rate, ScheduleConfig):
            check_float("learning_rate", self.learning_rate, 0.0, LARGEST)
        check_ranges(self)

    def build(self) -> tf_keras.optimizers.Optimizer:
        """A new tf-keras optimizer, without `jit_compile`: the training loop compiles the whole update.

        Raises:
            TypeError: if neither the class nor a base of it is named after an optimizer of tf-keras, or if that one does not
                take the fields.
        """
        places = keras_optimizers, tf_keras.optimizers
        return made(self, OptimizerConfig, tf_keras.optimizers.Optimizer, *places, jit_compile=False)


@dataclasses.dataclass(frozen=True)
class AdamConfig(OptimizerConfig):
    """Kingma and Ba 2014."""

    IDENTIFIER: ClassVar[str] = "adam"
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False


@dataclasses.dataclass(frozen=True)
class AdamWConfig(OptimizerConfig):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017)."""

    IDENTIFIER: ClassVar[str] = "adamw"
    weight_decay: float = 0.004
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False


@dataclasses.dataclass(frozen=True)
class AdamaxConfig(OptimizerConfig):
    """Adam with the infinity norm (Kingma and Ba 2014, section 7)."""

    IDENTIFIER: ClassVar[str] = "adamax"
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7


@dataclasses.dataclass(frozen=True)
class NadamConfig(OptimizerConfig):
    """Adam with Nesterov momentum (Dozat 2015): tf-keras's in eager mode, also in a graph, see `keras_optimizers.Nadam`."""

    IDENTIFIER: ClassVar[str] = "nadam"
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7


@dataclasses.dataclass(frozen=True)
class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent, optionally with momentum."""

    IDENTIFIER: ClassVar[str] = "sgd"
    learning_rate: float | ScheduleConfig = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def _validate(self) -> None:
        super()._validate()
        if self.nesterov and self.momentum == 0.0:
            raise ValueError(f"nesterov={self.nesterov} has no effect with momentum={self.momentum}; give momentum=0.9.")


@dataclasses.dataclass(frozen=True)
class RMSpropConfig(OptimizerConfig):
    """Tieleman and Hinton 2012; Mnih et al. 2015 use `rho=0.95, epsilon=0.01, centered=True`."""

    IDENTIFIER: ClassVar[str] = "rmsprop"
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False


@dataclasses.dataclass(frozen=True)
class AdagradConfig(OptimizerConfig):
    """Duchi et al. 2011."""

    IDENTIFIER: ClassVar[str] = "adagrad"
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7


@dataclasses.dataclass(frozen=True)
class AdadeltaConfig(OptimizerConfig):
    """Zeiler 2012."""

    IDENTIFIER: ClassVar[str] = "adadelta"
    rho: float = 0.95
    epsilon: float = 1e-7


@dataclasses.dataclass(frozen=True)
class FtrlConfig(OptimizerConfig):
    """McMahan et al. 2013. It divides by the learning rate, which must not reach zero, by a schedule neither."""

    IDENTIFIER: ClassVar[str] = "ftrl"
    learning_rate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    beta: float = 0.0

    def _validate(self) -> None:
        super()._validate()
        if isinstance(self.learning_rate, float) and self.learning_rate < np.finfo(np.float32).tiny:
            raise ValueError(f"learning_rate={self.learning_rate} must be above 0 in float32: Ftrl divides by it.")


@dataclasses.dataclass(frozen=True)
class LionConfig(OptimizerConfig):
    """Chen et al. 2023."""

    IDENTIFIER: ClassVar[str] = "lion"
    learning_rate: float | ScheduleConfig = 0.0001
    beta_1: float = 0.9
    beta_2: float = 0.99

    def _validate(self) -> None:
        super()._validate()
        if self.beta_1 == 0.0:
            raise ValueError(f"beta_1={self.beta_1} must be above 0.")


_ELEMENT_WISE = (
    AdamConfig,
    AdamWConfig,
    AdamaxConfig,
    NadamConfig,
    SGDConfig,
    RMSpropConfig,
    AdagradConfig,
    AdadeltaConfig,
    FtrlConfig,
    LionConfig,
)
