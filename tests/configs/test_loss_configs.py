"""Losses: each does what its formula says, for each element of a batch."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
from config_examples import CONCRETE

from polyrl import configs

ERRORS = np.array([-5.0, -2.0, -1.0, -0.3, 0.0, 0.4, 1.0, 1.5, 2.0, 5.0])


def huber(error: float, delta: float) -> float:
    """Huber 1964."""
    return error**2 / 2 if abs(error) <= delta else delta * (abs(error) - delta / 2)


LOSSES = {
    "huber_1": (configs.HuberLossConfig(), lambda error: huber(error, 1.0)),
    "huber_2": (configs.HuberLossConfig(delta=2.0), lambda error: huber(error, 2.0)),
    "mean_squared_error": (configs.MeanSquaredErrorConfig(), lambda error: error**2),
    "mean_absolute_error": (configs.MeanAbsoluteErrorConfig(), abs),
    "log_cosh": (configs.LogCoshConfig(), lambda error: math.log(math.cosh(error))),
}


def loss_of(config: configs.LossConfig, errors: np.ndarray) -> tf.Tensor:
    prediction = np.linspace(-1.0, 1.0, len(errors))
    return config.build()(tf.constant(prediction + errors, tf.float32), tf.constant(prediction, tf.float32))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_its_formula_for_each_element(name) -> None:
    config, formula = LOSSES[name]
    loss = loss_of(config, ERRORS)
    assert loss.shape == ERRORS.shape
    np.testing.assert_allclose(loss, [formula(error) for error in ERRORS], rtol=1e-4, atol=1e-6)


def test_there_is_a_formula_for_every_loss() -> None:
    losses = {each for each in CONCRETE if issubclass(each, configs.LossConfig)}
    assert {type(config) for config, _ in LOSSES.values()} == losses


@pytest.mark.parametrize(
    ("delta", "error", "expected"),
    # delta 2, error 5: 2 (5 - 1) = 8, within delta 1: 1 / 2, at delta both branches meet: 2^2 / 2 = 2 (2 - 1) = 2.
    [(2.0, 5.0, 8.0), (2.0, -5.0, 8.0), (2.0, 1.0, 0.5), (2.0, 2.0, 2.0), (1.0, 5.0, 4.5), (1.0, 0.5, 0.125)],
)
def test_huber_by_hand(delta, error, expected) -> None:
    np.testing.assert_allclose(loss_of(configs.HuberLossConfig(delta), np.array([error])), [expected], rtol=1e-6)


@pytest.mark.parametrize("delta", [0.5, 1.0, 2.0])
def test_the_gradient_of_huber_is_the_error_clipped_at_delta(delta) -> None:
    prediction = tf.zeros(len(ERRORS))
    with tf.GradientTape() as tape:
        tape.watch(prediction)
        loss = configs.HuberLossConfig(delta).build()(tf.constant(ERRORS, tf.float32), prediction)
    np.testing.assert_allclose(tape.gradient(loss, prediction), -np.clip(ERRORS, -delta, delta), rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_keeps_the_batch(name, rows) -> None:
    assert loss_of(LOSSES[name][0], np.ones(rows)).shape == (rows,)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_the_same_traced_and_compiled(name, jit_compile) -> None:
    loss = LOSSES[name][0].build()
    target, prediction = tf.constant(ERRORS, tf.float32), tf.constant(ERRORS[::-1] / 2, tf.float32)
    traced = tf.function(loss, jit_compile=jit_compile)
    np.testing.assert_allclose(traced(target, prediction), loss(target, prediction), rtol=1e-5, atol=1e-6)


def test_log_cosh_does_not_overflow() -> None:
    error = 1000.0  # where cosh overflows; log(cosh(x)) is |x| - log 2 there
    np.testing.assert_allclose(loss_of(configs.LogCoshConfig(), np.array([error])), [error - math.log(2)], rtol=1e-6)


@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan"), float("inf")])
def test_huber_names_a_delta_that_is_not_positive(delta) -> None:
    with pytest.raises(ValueError, match="delta="):
        configs.HuberLossConfig(delta)


@dataclasses.dataclass(frozen=True)
class MyLossConfig(configs.MeanSquaredErrorConfig):
    pass


@dataclasses.dataclass(frozen=True)
class NoLossConfig(configs.LossConfig):
    pass


def test_a_subclass_without_build_builds_what_its_base_does() -> None:
    np.testing.assert_allclose(MyLossConfig().build()(tf.constant([3.0]), tf.constant([1.0])), [4.0])
    with pytest.raises(TypeError, match=r"NoLossConfig must define build\(self\), which returns a new Loss"):
        NoLossConfig().build()
