"""Schedules and decays at their borders: what they are eagerly they are under XLA, which computes divisions in another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl import configs
from polyrl.configs import BoltzmannExplorationConfig, DecayExplorationConfig

plain = tf_keras.optimizers.schedules
LENGTHS = (1, 2, 3, 5, 7, 10, 41, 49, 1_000, 30_000, 1_000_003)
EXACT = {"rtol": 1e-5, "atol": 1e-6}


def borders(length):
    """Steps around the first multiples of a length, and far beyond."""
    near = [multiple * length + offset for multiple in range(5) for offset in (-1, 0, 1)]
    return sorted({step for step in [*near, 7 * length, 49 * length, 1_000 * length, 10**9] if step >= 0})


def both(function, steps):
    """Eager values and those of XLA, with the step as an argument."""
    compiled = tf.function(lambda step: function(step), jit_compile=True, autograph=False)
    steps = [tf.constant(step, tf.int64) for step in steps]
    return np.array([float(function(step)) for step in steps]), np.array([float(compiled(step)) for step in steps])


SCHEDULES = {
    "exponential": lambda n: configs.ExponentialDecayConfig(0.1, n, 0.5),
    "exponential staircase": lambda n: configs.ExponentialDecayConfig(0.1, n, 0.5, staircase=True),
    "inverse time": lambda n: configs.InverseTimeDecayConfig(0.1, n, 0.5),
    "inverse time staircase": lambda n: configs.InverseTimeDecayConfig(0.1, n, 0.5, staircase=True),
    "linear": lambda n: configs.PolynomialDecayConfig(0.1, n, 0.01),
    "root": lambda n: configs.PolynomialDecayConfig(0.1, n, 0.01, power=0.5),
    "power": lambda n: configs.PolynomialDecayConfig(0.1, n, 0.01, power=2.5),
    "cycle": lambda n: configs.PolynomialDecayConfig(0.1, n, 0.01, power=1.5, cycle=True),
    "piecewise": lambda n: configs.PiecewiseConstantDecayConfig((n, 2 * n), (0.1, 0.05, 0.02)),
    "cosine": lambda n: configs.CosineDecayConfig(0.1, n, alpha=0.1),
    "restarts": lambda n: configs.CosineDecayRestartsConfig(0.1, n, t_mul=1.0, m_mul=0.5),
    "longer restarts": lambda n: configs.CosineDecayRestartsConfig(0.1, n, t_mul=2.0, m_mul=0.9, alpha=0.1),
    "odd restarts": lambda n: configs.CosineDecayRestartsConfig(0.1, n, t_mul=1.5, m_mul=0.9),
}
DECAYS = {
    "polynomial": lambda n: DecayExplorationConfig(decay_steps=n, power=0.7),
    "cycle": lambda n: DecayExplorationConfig(decay_steps=n, power=1.5, cycle=True),
    "exponential": lambda n: DecayExplorationConfig(decay_type="exponential_decay", decay_steps=n, staircase=True),
    "natural": lambda n: DecayExplorationConfig(decay_type="natural_exp_decay", decay_steps=n),
    "natural staircase": lambda n: DecayExplorationConfig(decay_type="natural_exp_decay", decay_steps=n, staircase=True),
    "inverse": lambda n: DecayExplorationConfig(decay_type="inverse_time_decay", decay_steps=n, staircase=True),
    "piecewise": lambda n: DecayExplorationConfig(decay_type="piecewise_constant", boundaries=(n,), values=(0.9, 0.3)),
    "from a start": lambda n: DecayExplorationConfig(decay_steps=n, power=0.5, start_decay_at=n, stop_decay_at=3 * n),
    "boltzmann": lambda n: BoltzmannExplorationConfig(5.0, 0.1, n),
}


def test_every_schedule_and_decay_is_among_these():
    found = {getattr(configs, name) for name in dir(configs) if name.endswith("DecayConfig") or "Restarts" in name}
    assert {type(make(3)) for make in SCHEDULES.values()} == {
        kind for kind in found if issubclass(kind, configs.ScheduleConfig)
    }


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_the_same_under_xla_at_each_border(name):
    for length in LENGTHS:
        steps = borders(length)
        eager, compiled = both(SCHEDULES[name](length).build(), steps)
        assert np.all(np.isfinite(eager))
        np.testing.assert_allclose(compiled, eager, err_msg=f"{length}: {steps}", **EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("name", DECAYS)
def test_a_decay_is_the_same_under_xla_at_each_border(name):
    for length in LENGTHS:
        steps = borders(length)
        eager, compiled = both(DECAYS[name](length).rate, steps)
        assert np.all((eager >= 0.0) & (eager <= 5.0))
        np.testing.assert_allclose(compiled, eager, err_msg=f"{length}: {steps}", **EXACT)


# The values themselves: Python's floats have 53 bits, and whole numbers are exact there. -----------------------------------


def restarts(step, length, t_mul, m_mul, alpha):
    height, start = 1.0, 0.0
    while step >= start + length:
        start, length, height = start + length, length * t_mul, height * m_mul
    cosine = 0.5 * height * (1.0 + math.cos(math.pi * (step - start) / length))
    return 0.1 * ((1.0 - alpha) * cosine + alpha)


def cycle(step, n):
    length = max(1, -(-step // n)) * n
    return 0.09 * (1.0 - step / length) ** 1.5 + 0.01


FORMULAS = {
    "exponential staircase": lambda s, n: 0.1 * 0.5 ** (s // n),
    "inverse time staircase": lambda s, n: 0.1 / (1.0 + 0.5 * (s // n)),
    "root": lambda s, n: 0.09 * (1.0 - min(s, n) / n) ** 0.5 + 0.01,
    "power": lambda s, n: 0.09 * (1.0 - min(s, n) / n) ** 2.5 + 0.01,
    "cycle": cycle,
    "restarts": lambda s, n: restarts(s, n, 1.0, 0.5, 0.0),
    "longer restarts": lambda s, n: restarts(s, n, 2.0, 0.9, 0.1),
    "odd restarts": lambda s, n: restarts(s, n, 1.5, 0.9, 0.0),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_values_at_the_borders_are_those_of_the_formula(name):
    for length in (3, 7, 49, 1_000):
        steps = [step for step in borders(length) if step < 200 * length]
        schedule = SCHEDULES[name](length).build()
        values = [float(schedule(tf.constant(step, tf.int64))) for step in steps]
        expected = [FORMULAS[name](step, length) for step in steps]
        np.testing.assert_allclose(values, expected, err_msg=f"{length}: {steps}", rtol=1e-4, atol=1e-6)


def test_restarts_that_would_come_to_an_end_are_refused():
    with pytest.raises(ValueError, match=r"t_mul=0\.5 must lie in \[1\.0, inf\]"):
        configs.CosineDecayRestartsConfig(0.1, 10, t_mul=0.5)


def test_the_schedules_are_those_of_tf_keras_and_can_be_serialised():
    for name, make in SCHEDULES.items():
        schedule = make(5).build()
        base = getattr(plain, type(schedule).__name__)
        assert isinstance(schedule, base), name
        again = base.from_config(schedule.get_config())
        inside = [tf.constant(step, tf.int64) for step in (0, 1, 2, 3, 4, 6)]
        np.testing.assert_allclose(
            [float(schedule(s)) for s in inside], [float(again(s)) for s in inside], rtol=1e-5, err_msg=name
        )
