"""What optimizers and schedules are made from is in the range where they work."""

from __future__ import annotations

import math

import pytest

from polyrl import configs

WRONG = [
    (configs.AdamConfig, {"beta_1": 1.5}),
    (configs.AdamConfig, {"beta_2": 1.0}),
    (configs.AdamConfig, {"epsilon": -1.0}),
    (configs.AdamConfig, {"amsgrad": "yes"}),
    (configs.AdamWConfig, {"weight_decay": -0.1}),
    (configs.SGDConfig, {"momentum": 2.0}),
    (configs.SGDConfig, {"nesterov": 1}),
    (configs.RMSpropConfig, {"rho": 2.0}),
    (configs.RMSpropConfig, {"centered": None}),
    (configs.AdagradConfig, {"initial_accumulator_value": -0.1}),
    (configs.FtrlConfig, {"learning_rate_power": 0.5}),
    (configs.FtrlConfig, {"l1_regularization_strength": -0.5}),
    (configs.LionConfig, {"beta_1": -0.1}),
    (configs.ExponentialDecayConfig, {"decay_steps": 0}),
    (configs.ExponentialDecayConfig, {"decay_steps": 1e4}),
    (configs.ExponentialDecayConfig, {"decay_rate": -1.0}),
    (configs.ExponentialDecayConfig, {"initial_learning_rate": -0.1}),
    (configs.ExponentialDecayConfig, {"staircase": "no"}),
    (configs.InverseTimeDecayConfig, {"decay_rate": math.nan}),
    (configs.PolynomialDecayConfig, {"decay_steps": -100}),
    (configs.PolynomialDecayConfig, {"end_learning_rate": -0.1}),
    (configs.PolynomialDecayConfig, {"power": -1.0}),
    (configs.PiecewiseConstantDecayConfig, {"values": (0.1, -0.1)}),
    (configs.CosineDecayConfig, {"decay_steps": 0}),
    (configs.CosineDecayConfig, {"alpha": -0.1}),
    (configs.CosineDecayRestartsConfig, {"first_decay_steps": 0}),
    (configs.CosineDecayRestartsConfig, {"m_mul": -1.0}),
]
GIVEN = {
    configs.ExponentialDecayConfig: {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    configs.InverseTimeDecayConfig: {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    configs.PolynomialDecayConfig: {"initial_learning_rate": 0.1, "decay_steps": 10},
    configs.PiecewiseConstantDecayConfig: {"boundaries": (5,), "values": (0.1, 0.01)},
    configs.CosineDecayConfig: {"initial_learning_rate": 0.1, "decay_steps": 10},
    configs.CosineDecayRestartsConfig: {"initial_learning_rate": 0.1, "first_decay_steps": 10},
}


@pytest.mark.parametrize(("kind", "change"), WRONG, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_value_out_of_range_is_refused_at_construction_by_name(kind, change):
    with pytest.raises((ValueError, TypeError), match=f"^{next(iter(change))}="):
        kind(**{**GIVEN.get(kind, {}), **change})


def test_a_learning_rate_may_grow():
    assert configs.PolynomialDecayConfig(1e-4, 100, end_learning_rate=1e-3).end_learning_rate == 1e-3
    assert configs.ExponentialDecayConfig(1e-6, 100, decay_rate=10.0).decay_rate == 10.0
