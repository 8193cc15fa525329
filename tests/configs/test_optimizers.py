"""Optimizers and learning-rate schedules: each does what its formula says, with the defaults of tf-keras."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from config_examples import CONCRETE, EXAMPLES, name_of

from polyrl import configs

WEIGHTS, GRADIENT = np.array([1.0, -2.0, 0.5]), np.array([0.3, -0.2, 2.0])

OPTIMIZERS = [example for example in EXAMPLES if isinstance(example, configs.OptimizerConfig)]


def step_of(config: configs.OptimizerConfig, steps: int = 1) -> np.ndarray:
    """The weights after `steps` steps down the same gradient."""
    variable = tf.Variable(WEIGHTS, dtype=tf.float32)
    optimizer = config.build()
    optimizer.build([variable])
    for _ in range(steps):
        optimizer.apply_gradients([(tf.constant(GRADIENT, tf.float32), variable)])
    assert int(optimizer.iterations) == steps
    return variable.numpy()


@pytest.mark.parametrize("each", [each for each in CONCRETE if issubclass(each, configs.OptimizerConfig)], ids=name_of)
def test_every_optimizer_builds_with_its_defaults_and_steps(each) -> None:
    assert (step_of(each()) != np.float32(WEIGHTS)).all()


@pytest.mark.parametrize("each", [each for each in CONCRETE if issubclass(each, configs.OptimizerConfig)], ids=name_of)
def test_every_optimizer_builds_the_keras_class_of_its_name_with_its_defaults_uncompiled(each) -> None:
    optimizer, keras = each().build(), getattr(tf_keras.optimizers, each.__name__.removesuffix("Config"))
    assert isinstance(optimizer, keras)
    assert type(optimizer).__name__ == keras.__name__
    assert not optimizer.jit_compile
    ours, theirs = optimizer.get_config(), keras(jit_compile=False).get_config()
    assert ours == theirs, "the defaults must be those of tf-keras"


def first_steps(lr: float) -> dict[str, np.ndarray]:
    """The first step of each example by its paper's formula, from accumulators of zero unless the config sets one."""
    g, w = GRADIENT, WEIGHTS
    # Nadam (Dozat 2015): mu_t = beta_1 (1 - 0.96^t / 2), bias corrections by products of mu.
    mu_1, mu_2 = 0.8 * (1 - 0.5 * 0.96), 0.8 * (1 - 0.5 * 0.96**2)
    nadam_mean = mu_2 * 0.2 * g / (1 - mu_1 * mu_2) + (1 - mu_1) * g / (1 - mu_1)
    adagrad = 0.2 + g**2
    # Ftrl (McMahan et al. 2013) with tf-keras's beta, which joins the L2 term: w = -(z - sign(z) l1) / quadratic.
    power, l1, l2, accumulated = 0.6, 0.01, 0.02 + 0.3 / (2 * lr), 0.2 + g**2
    z = g - (accumulated**power - 0.2**power) / lr * w
    ftrl = np.where(abs(z) > l1, -(z - np.sign(z) * l1) / (accumulated**power / lr + 2 * l2), 0.0) - w
    return {
        # Nesterov: m = -lr g, then 0.5 m - lr g.
        "SGDConfig": -lr * g * (1 + 0.5),
        # Centered: variance of the decayed mean of g^2 around that of g.
        "RMSpropConfig": -lr * g / np.sqrt(0.2 * g**2 - (0.2 * g) ** 2 + 0.01),
        "AdagradConfig": -lr * g / np.sqrt(adagrad + 0.01),
        "AdadeltaConfig": -lr * g * np.sqrt(0.01) / np.sqrt(0.2 * g**2 + 0.01),
        # After bias correction the moments of a single gradient are g and g^2; tf-keras adds epsilon before it.
        "AdamConfig": -lr * np.sqrt(0.1) * g / (np.sqrt(0.1 * g**2) + 0.01),
        "AdamWConfig": -lr * np.sqrt(0.1) * g / (np.sqrt(0.1 * g**2) + 0.01) - lr * 0.2 * w,
        "AdamaxConfig": -lr * g / (abs(g) + 0.01),
        "NadamConfig": -lr * nadam_mean / (abs(g) + 0.01),
        "FtrlConfig": ftrl,
        "LionConfig": -lr * np.sign(g),
    }


@pytest.mark.parametrize("config", [each for each in OPTIMIZERS if isinstance(each.learning_rate, float)], ids=name_of)
def test_the_first_step_of_every_optimizer_is_that_of_its_formula(config) -> None:
    step = step_of(config) - WEIGHTS
    np.testing.assert_allclose(step, first_steps(config.learning_rate)[name_of(config)], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        (configs.SGDConfig(learning_rate=0.1, momentum=0.5), 1 + (1 + 0.5)),
        # Decays to a tenth at each step: 0.1 at step 0 and 0.01 at step 1.
        (configs.SGDConfig(learning_rate=configs.ExponentialDecayConfig(0.1, 1, 0.1)), 1 + 0.1),
        # The first boundary is still in the first piece: 0.1 at steps 0 and 1, 0.2 at step 2.
        (configs.SGDConfig(learning_rate=configs.PiecewiseConstantDecayConfig((0,), (0.1, 0.2))), 1 + 2),
    ],
    ids=["momentum", "exponential", "piecewise"],
)
def test_the_second_step_depends_on_the_first(config, scale) -> None:
    np.testing.assert_allclose(step_of(config, steps=2) - WEIGHTS, -0.1 * GRADIENT * scale, rtol=1e-5)


def test_each_build_is_a_new_optimizer() -> None:
    config = configs.AdamConfig()
    assert config.build() is not config.build()


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_learning_rate_that_is_negative_or_not_finite_is_named(value) -> None:
    with pytest.raises(ValueError, match="learning_rate="):
        configs.AdamConfig(learning_rate=value)


@pytest.mark.parametrize("value", ["0.1", True, None, configs.AdamConfig()], ids=str)
def test_a_learning_rate_that_is_neither_number_nor_schedule_is_named(value) -> None:
    with pytest.raises(TypeError, match="learning_rate="):
        configs.AdamConfig(learning_rate=value)


STEPS = [0, 1, 4, 5, 9, 10, 11, 20, 21, 25, 30, 39, 40, 100]


def restarts(initial: float, first: int, t_mul: float, m_mul: float, alpha: float, step: int) -> float:
    """A loop over the restarts (Loshchilov and Hutter 2016): periods `t_mul` times as long and `m_mul` as high."""
    height, length, passed = 1.0, float(first), float(step)
    while passed >= length:
        passed, length, height = passed - length, length * t_mul, height * m_mul
    return initial * ((1 - alpha) * height * (1 + math.cos(math.pi * passed / length)) / 2 + alpha)


SCHEDULES = {
    "exponential": (configs.ExponentialDecayConfig(0.5, 10, 0.9), lambda step: 0.5 * 0.9 ** (step / 10)),
    "exponential_staircase": (
        configs.ExponentialDecayConfig(0.5, 10, 0.9, staircase=True),
        lambda step: 0.5 * 0.9 ** (step // 10),
    ),
    "inverse_time": (configs.InverseTimeDecayConfig(0.5, 10, 0.9), lambda step: 0.5 / (1 + 0.9 * step / 10)),
    "inverse_time_staircase": (
        configs.InverseTimeDecayConfig(0.5, 10, 0.9, staircase=True),
        lambda step: 0.5 / (1 + 0.9 * (step // 10)),
    ),
    "linear": (
        configs.PolynomialDecayConfig(0.5, 10, 0.1),
        lambda step: 0.1 + (0.5 - 0.1) * (1 - min(step, 10) / 10),
    ),
    "quadratic": (
        configs.PolynomialDecayConfig(0.5, 10, 0.1, power=2.0),
        lambda step: 0.1 + (0.5 - 0.1) * (1 - min(step, 10) / 10) ** 2,
    ),
    "polynomial_cycle": (
        configs.PolynomialDecayConfig(0.5, 10, 0.1, power=2.0, cycle=True),
        lambda step: 0.1 + (0.5 - 0.1) * (1 - step / (10 * max(1, math.ceil(step / 10)))) ** 2,
    ),
    "piecewise": (
        configs.PiecewiseConstantDecayConfig((10, 20), (0.3, 0.2, 0.1)),
        lambda step: 0.3 if step <= 10 else 0.2 if step <= 20 else 0.1,
    ),
    "cosine": (
        configs.CosineDecayConfig(0.5, 10, alpha=0.1),
        lambda step: 0.5 * (0.9 * (1 + math.cos(math.pi * min(step, 10) / 10)) / 2 + 0.1),
    ),
    # Restarts at 10, 40 and so on; with `t_mul=1` at every multiple of 10.
    "restarts": (
        configs.CosineDecayRestartsConfig(0.5, 10, t_mul=3.0, m_mul=0.9, alpha=0.1),
        lambda step: restarts(0.5, 10, 3.0, 0.9, 0.1, step),
    ),
    "restarts_of_one_length": (
        configs.CosineDecayRestartsConfig(0.5, 10, t_mul=1.0, m_mul=0.9),
        lambda step: restarts(0.5, 10, 1.0, 0.9, 0.0, step),
    ),
}


def test_there_is_a_formula_for_every_schedule() -> None:
    schedules = {each for each in CONCRETE if issubclass(each, configs.ScheduleConfig)}
    assert {type(config) for config, _ in SCHEDULES.values()} == schedules


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_is_its_formula(name) -> None:
    config, formula = SCHEDULES[name]
    schedule = config.build()
    rates = [float(schedule(tf.constant(step, tf.int64))) for step in STEPS]
    np.testing.assert_allclose(rates, [formula(step) for step in STEPS], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_sets_the_learning_rate_of_an_optimizer(name) -> None:
    config, formula = SCHEDULES[name]
    steps = 12  # past the first boundary or period
    expected = -GRADIENT * sum(formula(step) for step in range(steps))
    step = step_of(configs.SGDConfig(learning_rate=config), steps) - WEIGHTS
    np.testing.assert_allclose(step, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        configs.ExponentialDecayConfig(1, 10, 0.5),
        configs.InverseTimeDecayConfig(1, 10, 1.0),
        configs.PolynomialDecayConfig(1, 10, 0.0),
        configs.CosineDecayConfig(1, 10),
        configs.CosineDecayRestartsConfig(1, 10),
    ],
    ids=name_of,
)
def test_a_schedule_may_start_from_an_integer(config) -> None:
    rate = config.build()(tf.constant(5, tf.int64))
    # The same as with 1.0; half way it is neither 1 nor 0.
    assert float(rate) == float(dataclasses.replace(config, initial_learning_rate=1.0).build()(tf.constant(5, tf.int64)))
    assert 0 < float(rate) < 1


@pytest.mark.parametrize(
    "build",
    [
        lambda: configs.ExponentialDecayConfig(0.5, 0, 0.9),
        lambda: configs.InverseTimeDecayConfig(0.5, 0, 0.9),
        lambda: configs.PolynomialDecayConfig(0.5, 0),
        lambda: configs.CosineDecayConfig(0.5, 0),
        lambda: configs.CosineDecayRestartsConfig(0.5, 0),
    ],
    ids=["exponential", "inverse_time", "polynomial", "cosine", "restarts"],
)
def test_a_schedule_over_zero_steps_is_refused(build) -> None:
    with pytest.raises(ValueError, match="decay_steps=0"):
        build().build()


@pytest.mark.parametrize(("boundaries", "values"), [((10,), (0.1,)), ((5,), ()), ((1, 2), (0.1, 0.2, 0.3, 0.4))], ids=str)
def test_a_piecewise_schedule_needs_one_value_more_than_boundaries(boundaries, values) -> None:
    with pytest.raises(ValueError, match=r"values=.* must have one entry more than boundaries="):
        configs.PiecewiseConstantDecayConfig(boundaries, values)


def test_a_piecewise_schedule_refuses_boundaries_out_of_order() -> None:
    with pytest.raises(ValueError, match="boundaries"):
        configs.PiecewiseConstantDecayConfig((20, 10), (0.3, 0.2, 0.1))


@pytest.mark.parametrize("values", [(0.001,), ()], ids=str)
def test_a_piecewise_schedule_needs_a_boundary(values) -> None:
    with pytest.raises(ValueError, match=r"boundaries=\(\) must have at least one entry; a constant rate is a plain number"):
        configs.PiecewiseConstantDecayConfig((), values)


@dataclasses.dataclass(frozen=True)
class MyAdamConfig(configs.AdamConfig):
    beta_1: float = 0.8


@dataclasses.dataclass(frozen=True)
class MyDecayConfig(configs.PolynomialDecayConfig):
    power: float = 2.0


@dataclasses.dataclass(frozen=True)
class FurtherConfig(configs.AdamConfig):
    further: float = 0.8


@dataclasses.dataclass(frozen=True)
class NothingConfig(configs.OptimizerConfig):
    pass


def test_a_subclass_without_build_builds_what_its_base_does() -> None:
    optimizer = MyAdamConfig(MyDecayConfig(0.5, 10, 0.0)).build()
    assert isinstance(optimizer, tf_keras.optimizers.Adam)
    assert optimizer.beta_1 == 0.8
    optimizer.iterations = tf.Variable(5, dtype=tf.int64)
    np.testing.assert_allclose(float(MyDecayConfig(0.5, 10, 0.0).build()(5)), 0.125)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            FurtherConfig,
            r"FurtherConfig has no build\(\) of its own, and Adam does not take its fields: .*further.*Define build",
        ),
        (
            NothingConfig,
            r"NothingConfig must define build\(self\), which returns a new Optimizer of tf-keras, or be a subclass",
        ),
        (configs.OptimizerConfig, r"OptimizerConfig must define build\(self\)"),
    ],
)
def test_a_config_of_no_known_optimizer_must_define_build(config, message) -> None:
    with pytest.raises(TypeError, match=message):
        config().build()
