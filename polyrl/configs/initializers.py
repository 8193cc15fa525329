"""Configs of initial weights, with the fields and defaults of tf-keras; and PyTorch's."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import tf_keras

from polyrl.configs.base import Config
from polyrl.validation import check_float


@dataclasses.dataclass(frozen=True)
class InitializerConfig(Config):
    """How the weights of dense layers and convolutions begin."""

    def kernel(self, fan_in: int) -> tf_keras.initializers.Initializer:
        """That of the kernel; `fan_in` is how many inputs a unit has."""
        raise NotImplementedError(f"{type(self).__name__} must define kernel; TorchInitializerConfig and others here do.")

    def bias(self, fan_in: int) -> tf_keras.initializers.Initializer:
        """That of the bias, zero by default."""
        return tf_keras.initializers.Zeros()


@dataclasses.dataclass(frozen=True)
class VarianceScalingConfig(InitializerConfig):
    """Variance `scale / n`, with n the number of inputs, of outputs, or their mean; by default Glorot and Bengio 2010.

    `scale=2, mode='fan_in'` is He et al. 2015, `scale=1, mode='fan_in'` LeCun et al. 1998.
    """

    IDENTIFIER: ClassVar[str] = "variance_scaling"
    scale: float = 1.0
    mode: str = "fan_avg"
    distribution: str = "uniform"

    def _validate(self) -> None:
        if check_float("scale", self.scale, 0.0) == 0.0:
            raise ValueError(f"scale={self.scale} must be above 0.")
        for name, known in (
            ("mode", ("fan_in", "fan_out", "fan_avg")),
            ("distribution", ("uniform", "truncated_normal", "untruncated_normal")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown; use one of {', '.join(known)}.")

    def kernel(self, fan_in: int) -> tf_keras.initializers.Initializer:
        return tf_keras.initializers.VarianceScaling(self.scale, self.mode, self.distribution)


@dataclasses.dataclass(frozen=True)
class OrthogonalConfig(InitializerConfig):
    """Orthogonal rows or columns, times `gain` (Saxe et al. 2013)."""

    IDENTIFIER: ClassVar[str] = "orthogonal"
    gain: float = 1.0

    def kernel(self, fan_in: int) -> tf_keras.initializers.Initializer:
        return tf_keras.initializers.Orthogonal(self.gain)


@dataclasses.dataclass(frozen=True)
class RandomUniformConfig(InitializerConfig):
    """Uniform in [-limit, limit]."""

    IDENTIFIER: ClassVar[str] = "random_uniform"
    limit: float = 0.05

    def _validate(self) -> None:
        check_float("limit", self.limit, 0.0)

    def kernel(self, fan_in: int) -> tf_keras.initializers.Initializer:
        return tf_keras.initializers.RandomUniform(-self.limit, self.limit)


@dataclasses.dataclass(frozen=True)
class TorchInitializerConfig(InitializerConfig):
    """PyTorch's default: kernel and bias uniform in +-1 / sqrt(number of inputs).

    That is He's initialisation with `a = sqrt(5)`, as `torch.nn.Linear` and `torch.nn.Conv2d` have it.
    """

    IDENTIFIER: ClassVar[str] = "torch"

    def kernel(self, fan_in: int) -> tf_keras.initializers.Initializer:
        return self.bias(fan_in)

    def bias(self, fan_in: int) -> tf_keras.initializers.Initializer:
        limit = 1.0 / math.sqrt(fan_in)
        return tf_keras.initializers.RandomUniform(-limit, limit)
