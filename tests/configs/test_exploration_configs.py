"""Exploration configs: the rate of each as a function of the timestep, and the values that are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from config_examples import EXAMPLES, name_of

from polyrl import configs
from polyrl.configs import (
    BoltzmannExplorationConfig,
    DecayExplorationConfig,
    ExplorationConfig,
    OrnsteinUhlenbeckExplorationConfig,
    RandomDecayExplorationConfig,
)

INITIAL, MINIMUM, RATE, DECAY_STEPS, POWER = 0.8, 0.05, 0.5, 10, 2.0

START, STOP = 20, 70  # decays over 50 steps, five times DECAY_STEPS

TIMESTEPS = [0, 19, 20, 21, 25, 29, 30, 31, 40, 45, 50, 69, 70, 71, 1000]

BOUNDARIES, VALUES = (5, 30), (0.7, 0.4, 0.01)

DECAYS = {
    "polynomial_decay": lambda t: MINIMUM + (INITIAL - MINIMUM) * (1 - min(t, DECAY_STEPS) / DECAY_STEPS) ** POWER,
    "exponential_decay": lambda t: INITIAL * RATE ** (t / DECAY_STEPS),
    "natural_exp_decay": lambda t: INITIAL * math.exp(-RATE * t / DECAY_STEPS),
    "inverse_time_decay": lambda t: INITIAL / (1 + RATE * t / DECAY_STEPS),
    "piecewise_constant": lambda t: VALUES[sum(t > boundary for boundary in BOUNDARIES)],
}

STAIRCASES = ["exponential_decay", "natural_exp_decay", "inverse_time_decay"]


def decay(decay_type: str, **changes) -> DecayExplorationConfig:
    arguments = {
        "decay_type": decay_type,
        "start_decay_at": START,
        "stop_decay_at": STOP,
        "min_exploration_rate": MINIMUM,
    }
    if decay_type == "piecewise_constant":
        arguments |= {"boundaries": BOUNDARIES, "values": VALUES}
    else:
        arguments |= {"exploration_rate": INITIAL, "decay_steps": DECAY_STEPS}
        arguments |= {"power": POWER} if decay_type == "polynomial_decay" else {"decay_rate": RATE}
    return DecayExplorationConfig(**{**arguments, **changes})


def rates_of(config: configs.ExplorationConfig, timesteps: list[int]) -> list[float]:
    return [float(config.rate(tf.constant(timestep, tf.int64))) for timestep in timesteps]


@pytest.mark.parametrize("decay_type", DECAYS)
def test_every_decay_is_its_formula_before_within_and_after_the_decay(decay_type) -> None:
    elapsed = [min(max(timestep, START), STOP) - START for timestep in TIMESTEPS]
    expected = [max(DECAYS[decay_type](t), MINIMUM) for t in elapsed]
    np.testing.assert_allclose(rates_of(decay(decay_type), TIMESTEPS), expected, rtol=1e-5)


@pytest.mark.parametrize("decay_type", DECAYS)
def test_every_decay_is_constant_before_its_start_and_after_its_stop(decay_type) -> None:
    early, at_start, at_stop, late = rates_of(decay(decay_type), [0, START, STOP, 10**12])
    assert early == at_start > at_stop == late


@pytest.mark.parametrize("decay_type", DECAYS)
def test_no_decay_falls_below_its_minimum_which_need_not_be_an_integer(decay_type) -> None:
    far = 10**6
    config = decay(decay_type, stop_decay_at=2 * far, min_exploration_rate=0.05)
    assert rates_of(config, [far]) == [np.float32(0.05)]


@pytest.mark.parametrize("decay_type", STAIRCASES)
def test_a_staircase_falls_once_every_decay_steps(decay_type) -> None:
    elapsed = [min(max(timestep, START), STOP) - START for timestep in TIMESTEPS]
    expected = [max(DECAYS[decay_type](t // DECAY_STEPS * DECAY_STEPS), MINIMUM) for t in elapsed]
    np.testing.assert_allclose(rates_of(decay(decay_type, staircase=True), TIMESTEPS), expected, rtol=1e-5)


def test_a_cycle_restarts_the_polynomial() -> None:
    # Period k reaches the minimum at k decay_steps; past it, the line leads from the start to the next multiple.
    elapsed = [min(max(timestep, START), STOP) - START for timestep in TIMESTEPS]
    shares = [1 - t / (DECAY_STEPS * max(1, math.ceil(t / DECAY_STEPS))) for t in elapsed]
    expected = [MINIMUM + (INITIAL - MINIMUM) * share**POWER for share in shares]
    np.testing.assert_allclose(rates_of(decay("polynomial_decay", cycle=True), TIMESTEPS), expected, rtol=1e-4)


@pytest.mark.parametrize("start", [0, START])
@pytest.mark.parametrize("timestep", [0, START])
def test_a_cycle_at_timestep_zero_is_the_initial_rate_and_not_nan(timestep, start) -> None:
    config = decay("polynomial_decay", cycle=True, start_decay_at=start, decay_steps=START + 1, power=1.0)
    expected = INITIAL if timestep <= start else MINIMUM + (INITIAL - MINIMUM) * (1 - START / (START + 1))
    np.testing.assert_allclose(rates_of(config, [timestep]), [expected], rtol=1e-5)


@pytest.mark.parametrize("decay_type", ["polynomial_decay", "exponential_decay", "natural_exp_decay", "inverse_time_decay"])
def test_a_decay_may_start_from_the_integer_one(decay_type) -> None:
    timesteps = [0, START, START + DECAY_STEPS // 2, STOP]
    whole, decimal = decay(decay_type, exploration_rate=1), decay(decay_type, exploration_rate=1.0)
    assert rates_of(whole, timesteps) == rates_of(decimal, timesteps)


def test_piecewise_values_may_be_integers() -> None:
    config = decay("piecewise_constant", boundaries=(10, 20), values=(1, 0.5, 0), start_decay_at=0)
    assert rates_of(config, [10, 20, 21]) == [1.0, 0.5, np.float32(MINIMUM)]


@pytest.mark.parametrize("decay_rate", [1e-3, 1e-5, 1e-6, 1e-7])
def test_a_slow_natural_decay_is_exact(decay_rate) -> None:
    # The usual exp(-decay_rate * t): after 1 / decay_rate steps the rate is down to 1 / e.
    steps = round(1 / decay_rate)
    config = DecayExplorationConfig(decay_type="natural_exp_decay", decay_rate=decay_rate, decay_steps=1)
    np.testing.assert_allclose(rates_of(config, [steps]), [math.exp(-1)], rtol=1e-3)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("decay_type", DECAYS)
def test_every_decay_is_the_same_traced_and_compiled(decay_type, jit_compile) -> None:
    config = decay(decay_type)
    rate = tf.function(config.rate, jit_compile=jit_compile)
    traced = [float(rate(tf.constant(timestep, tf.int64))) for timestep in TIMESTEPS]
    np.testing.assert_allclose(traced, rates_of(config, TIMESTEPS), rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (configs.ConstantExplorationConfig(0.25), 0.25),
        (configs.GreedyExplorationConfig(), 0.0),
        (configs.RandomExplorationConfig(), 1.0),
        (configs.ConstantExplorationConfig(1), 1.0),
    ],
    ids=str,
)
def test_the_other_explorations_are_constant(config, expected) -> None:
    assert rates_of(config, [0, 1, 10**12]) == [expected] * 3


@pytest.mark.parametrize("config", [each for each in EXAMPLES if isinstance(each, configs.ExplorationConfig)], ids=name_of)
def test_a_rate_is_a_float32_scalar(config) -> None:
    rate = config.rate(tf.constant(3, tf.int64))
    assert (rate.shape, rate.dtype) == ((), tf.float32)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"exploration_rate": 1.1}, "exploration_rate=1.1"),
        ({"exploration_rate": -0.1}, "exploration_rate=-0.1"),
        ({"min_exploration_rate": 1.1}, "min_exploration_rate=1.1"),
        ({"min_exploration_rate": -0.1}, "min_exploration_rate=-0.1"),
        ({"start_decay_at": -1}, "start_decay_at=-1"),
        ({"start_decay_at": 10, "stop_decay_at": 9}, "stop_decay_at=9 must be at least start_decay_at=10"),
        ({"decay_steps": 0}, "decay_steps=0"),
        ({"decay_rate": -0.5}, "decay_rate=-0.5"),
        ({"decay_rate": float("inf")}, "decay_rate=inf"),
        ({"decay_type": "cubic_decay"}, "decay_type='cubic_decay' is unknown; use one of .*'polynomial_decay'"),
        ({"decay_type": "piecewise_constant"}, "piecewise_constant needs boundaries"),
        ({"decay_type": "piecewise_constant", "boundaries": (5,), "values": (0.5,)}, "one more value than boundaries"),
        ({"decay_type": "piecewise_constant", "boundaries": (5,), "values": (0.5, 1.5)}, "values=1.5"),
        ({"decay_type": "piecewise_constant", "boundaries": (9, 5), "values": (0.5, 0.4, 0.3)}, "boundaries"),
        ({"boundaries": (5,)}, "boundaries and values belong to piecewise_constant, not to polynomial_decay"),
        ({"decay_type": "exponential_decay", "decay_rate": 3.0}, "decay_rate=3.0"),
        ({"power": -1.0}, "power=-1.0"),
        ({"power": float("nan")}, "power=nan"),
        ({"values": (0.5,)}, "boundaries and values belong to piecewise_constant"),
        ({"exploration_rate": 0.01}, "min_exploration_rate=0.05 is above exploration_rate=0.01"),
        ({"decay_rate": 0.9}, "decay_rate=0.9 has no effect with decay_type='polynomial_decay': it is for exponential_decay"),
        ({"staircase": True}, "staircase=True has no effect"),
        ({"decay_type": "natural_exp_decay", "power": 2.0}, "power=2.0 has no effect"),
        ({"decay_type": "exponential_decay", "cycle": True}, "cycle=True has no effect"),
        (
            {"decay_type": "piecewise_constant", "boundaries": (5,), "values": (1, 0.5), "decay_steps": 7},
            "decay_steps=7 has no",
        ),
        ({"decay_type": "piecewise_constant", "boundaries": (5,), "values": (1, 0.5), "exploration_rate": 0.5}, "no effect"),
    ],
    ids=str,
)
def test_an_invalid_decay_is_refused_with_the_name_of_its_field(changes, name) -> None:
    with pytest.raises(ValueError, match=name):
        DecayExplorationConfig(**changes)


@pytest.mark.parametrize("changes", [{"start_decay_at": 1.5}, {"decay_steps": 10.0}, {"exploration_rate": "1"}], ids=str)
def test_a_decay_field_of_the_wrong_type_is_named(changes) -> None:
    with pytest.raises(TypeError, match=next(iter(changes))):
        DecayExplorationConfig(**changes)


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_constant_rate_outside_zero_to_one_is_refused(value) -> None:
    with pytest.raises(ValueError, match=f"value={value}"):
        configs.ConstantExplorationConfig(value)


WRONG = [
    (OrnsteinUhlenbeckExplorationConfig, {"sigma": -0.1}, ValueError),
    (OrnsteinUhlenbeckExplorationConfig, {"theta": -0.1}, ValueError),
    (OrnsteinUhlenbeckExplorationConfig, {"mu": math.inf}, ValueError),
    (OrnsteinUhlenbeckExplorationConfig, {"mu": "0"}, TypeError),
    (OrnsteinUhlenbeckExplorationConfig, {"dt": 0.0}, ValueError),
    (OrnsteinUhlenbeckExplorationConfig, {"dt": -1.0}, ValueError),
    (OrnsteinUhlenbeckExplorationConfig, {"theta": 4.0, "dt": 0.5}, ValueError),
    (BoltzmannExplorationConfig, {"temperature": -1.0}, ValueError),
    (BoltzmannExplorationConfig, {"decay_steps": 500}, ValueError),
    (BoltzmannExplorationConfig, {"temperature": math.nan}, ValueError),
    (BoltzmannExplorationConfig, {"final_temperature": -1.0}, ValueError),
    (BoltzmannExplorationConfig, {"decay_steps": 0}, ValueError),
    (BoltzmannExplorationConfig, {"decay_steps": 1.5}, TypeError),
    (RandomDecayExplorationConfig, {"min_exploration_rate": -0.1}, ValueError),
    (RandomDecayExplorationConfig, {"decay_type": "cubic"}, ValueError),
    (RandomDecayExplorationConfig, {"boundaries": (3,), "values": (0.5, 0.1)}, ValueError),
]


@pytest.mark.parametrize(("config", "arguments", "error"), WRONG, ids=str)
def test_an_invalid_field_is_named(config, arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        config(**arguments)


def test_a_random_decay_has_a_fractional_minimum_and_every_decay_type():
    """A minimum of 0.05 is not rounded to 0, and `piecewise_constant` has the fields it needs."""
    config = RandomDecayExplorationConfig(min_exploration_rate=0.05, decay_steps=10)
    assert float(config.rate(tf.constant(10_000, tf.int64))) == pytest.approx(0.05)
    piecewise = RandomDecayExplorationConfig(
        decay_type="piecewise_constant", boundaries=(5, 9), values=(0.5, 0.25, 0.01), min_exploration_rate=0.05
    )
    assert [float(piecewise.rate(tf.constant(t, tf.int64))) for t in (0, 5, 6, 9, 10)] == pytest.approx(
        [0.5, 0.5, 0.25, 0.25, 0.05]
    )


def test_the_temperature_changes_linearly_to_its_final_value_and_stays_there():
    config = BoltzmannExplorationConfig(2.0, 0.5, 100)
    found = [float(config.rate(tf.constant(t, tf.int64))) for t in (0, 50, 100, 10**6)]
    assert found == pytest.approx([2.0, 1.25, 0.5, 0.5])
    assert float(BoltzmannExplorationConfig(2.0).rate(tf.constant(10**6, tf.int64))) == 2.0
    assert float(BoltzmannExplorationConfig(1.0, 0.0, 10).rate(tf.constant(99, tf.int64))) == 0.0


def test_a_config_with_a_constructor_of_its_own_is_refused():
    """A resumed run took one with other values for the same."""

    class Plain(ExplorationConfig):
        def __init__(self, period):
            self.period = period

        def rate(self, timestep):
            return tf.constant(0.5)

    with pytest.raises(TypeError, match=r"Plain has a constructor of its own.*@dataclasses\.dataclass\(frozen=True\)"):
        Plain(3)
