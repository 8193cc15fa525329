"""Element-wise losses of a TD error, built from those of tf-keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import tensorflow as tf
import tf_keras

from polyrl.configs.base import Config, made
from polyrl.validation import check_float

LossFn = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""`loss_fn(target, prediction)`: two tensors `[B]` in, the loss of each element `[B]` out."""


@dataclasses.dataclass(frozen=True)
class LossConfig(Config):
    """A loss for each element of a batch; the model applies the importance weights and takes the mean."""

    def build(self) -> LossFn:
        """Returns `loss_fn(target, prediction)`, `[B]` and `[B]` to `[B]`."""
        loss = self._keras_loss()
        # tf-keras averages over the last axis, so add one of size 1.
        return lambda target, prediction: loss(target[..., tf.newaxis], prediction[..., tf.newaxis])

    def _keras_loss(self) -> tf_keras.losses.Loss:
        return made(self, LossConfig, tf_keras.losses.Loss, tf_keras.losses, reduction="none")


@dataclasses.dataclass(frozen=True)
class HuberLossConfig(LossConfig):
    """Huber (1964): `x^2 / 2` up to `delta`, `delta (|x| - delta / 2)` beyond; this clips the error as in Mnih et al. 2015."""

    IDENTIFIER: ClassVar[str] = "huber"
    delta: float = 1.0

    def _validate(self) -> None:
        check_float("delta", self.delta, minimum=1e-12)

    def _keras_loss(self) -> tf_keras.losses.Loss:
        return tf_keras.losses.Huber(delta=self.delta, reduction="none")


@dataclasses.dataclass(frozen=True)
class MeanSquaredErrorConfig(LossConfig):
    """`x^2`, without the factor 1/2 of some texts."""

    IDENTIFIER: ClassVar[str] = "mean_squared_error"


@dataclasses.dataclass(frozen=True)
class MeanAbsoluteErrorConfig(LossConfig):
    """`|x|`."""

    IDENTIFIER: ClassVar[str] = "mean_absolute_error"


@dataclasses.dataclass(frozen=True)
class LogCoshConfig(LossConfig):
    """`log(cosh(x))`: about `x^2 / 2` near zero, about `|x| - log 2` far from it."""

    IDENTIFIER: ClassVar[str] = "log_cosh"
