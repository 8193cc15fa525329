"""The ranges of what optimizers and schedules are made from, by the names that tf-keras gives them."""

from __future__ import annotations

import dataclasses

import numpy as np

from polyrl.configs.base import Config
from polyrl.validation import check_bool, check_float, check_int

_PERIODS = ("decay_steps", "first_decay_steps")
_FLAGS = ("amsgrad", "nesterov", "centered", "staircase", "cycle")
_AVERAGES = ("beta_1", "beta_2", "rho")
"""How much of a moving average is kept: at 1 it would never change, and above 1 it would grow without end."""
_BELOW_1 = 1.0 - 2.0**-24
"""The largest float32 below 1."""
_SMALLEST = float(np.finfo(np.float32).tiny)
"""The smallest number that float32 divides by."""
_AT_LEAST_0 = (
    "initial_learning_rate",
    "end_learning_rate",
    "decay_rate",
    "power",
    "alpha",
    "m_mul",
    "values",
    "weight_decay",
    "initial_accumulator_value",
    "l1_regularization_strength",
    "l2_regularization_strength",
    "beta",
)


def check_ranges(config: Config) -> None:
    """Checks the fields of these names; a TypeError or ValueError with the field and its value.

    tf-keras takes any number, and NaN or a step uphill comes of some.
    """
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        if name in _PERIODS:
            check_int(name, value, minimum=1)
        elif name in _FLAGS:
            check_bool(name, value)
        elif name in _AVERAGES:
            check_float(name, value, 0.0, _BELOW_1)
        elif name == "epsilon":
            # It is what a variable without gradients is divided by: at 0, NaN comes of it.
            check_float(name, value, _SMALLEST)
        elif name == "momentum":
            check_float(name, value, 0.0, 1.0)
        elif name == "learning_rate_power":
            check_float(name, value, maximum=0.0)
        elif name in _AT_LEAST_0:
            for number in value if isinstance(value, tuple) else (value,):
                check_float(name, number, 0.0)
