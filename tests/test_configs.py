"""Configs: to a dict and back, and that what they build does what its formula says."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl import configs
from polyrl.configs import Config, DecayExplorationConfig

# One of each, no field at its default where that could hide that the field is lost.
EXAMPLES = [
    configs.ConstantExplorationConfig(value=0.25),
    configs.GreedyExplorationConfig(),
    configs.RandomExplorationConfig(),
    DecayExplorationConfig(0.9, "exponential_decay", 5, 500, 0.7, True, 20, 0.1, 2.0, True),
    DecayExplorationConfig(decay_type="piecewise_constant", boundaries=(10, 20), values=(0.9, 0.5, 0.1)),
    configs.RandomDecayExplorationConfig(0.9, "inverse_time_decay", 5, 500, 0.7, True, 20, 0.1, 2.0, True),
    configs.RandomDecayExplorationConfig(decay_type="piecewise_constant", boundaries=(10, 20), values=(0.9, 0.5, 0.1)),
    configs.OrnsteinUhlenbeckExplorationConfig(sigma=0.2, mu=0.1, theta=0.3, dt=0.5),
    configs.BoltzmannExplorationConfig(temperature=2.0, final_temperature=0.5, decay_steps=100),
    configs.HuberLossConfig(delta=2.0),
    configs.MeanSquaredErrorConfig(),
    configs.MeanAbsoluteErrorConfig(),
    configs.LogCoshConfig(),
    configs.MetricConfig("MeanSquaredError", "q", "labels.reward", "error", {"dtype": "float64"}, "labels.weights"),
    configs.ExponentialDecayConfig(0.5, 10, 0.9, staircase=True),
    configs.InverseTimeDecayConfig(0.5, 10, 0.9, staircase=True),
    configs.PolynomialDecayConfig(0.5, 10, 0.1, power=2.0, cycle=True),
    configs.PiecewiseConstantDecayConfig((10, 20), (0.3, 0.2, 0.1)),
    configs.CosineDecayConfig(0.5, 10, alpha=0.1),
    configs.CosineDecayRestartsConfig(0.5, 10, t_mul=3.0, m_mul=0.9, alpha=0.1),
    configs.SGDConfig(learning_rate=0.1, momentum=0.5, nesterov=True),
    configs.RMSpropConfig(learning_rate=0.1, rho=0.8, momentum=0.5, epsilon=0.01, centered=True),
    configs.AdagradConfig(learning_rate=0.1, initial_accumulator_value=0.2, epsilon=0.01),
    configs.AdadeltaConfig(learning_rate=0.1, rho=0.8, epsilon=0.01),
    configs.AdamConfig(learning_rate=0.1, beta_1=0.8, beta_2=0.9, epsilon=0.01, amsgrad=True),
    configs.AdamWConfig(learning_rate=0.1, weight_decay=0.2, beta_1=0.8, beta_2=0.9, epsilon=0.01, amsgrad=True),
    configs.AdamaxConfig(learning_rate=0.1, beta_1=0.8, beta_2=0.9, epsilon=0.01),
    configs.NadamConfig(learning_rate=0.1, beta_1=0.8, beta_2=0.9, epsilon=0.01),
    configs.FtrlConfig(0.1, -0.6, 0.2, 0.01, 0.02, 0.3),
    configs.LionConfig(learning_rate=0.1, beta_1=0.8, beta_2=0.7),
    configs.AdamConfig(learning_rate=configs.CosineDecayConfig(0.5, 10)),
    configs.SGDConfig(learning_rate=configs.PiecewiseConstantDecayConfig((10,), (0.3, 0.2))),
]
EXPORTED = [getattr(configs, name) for name in configs.__all__]
CONCRETE = [each for each in EXPORTED if each.IDENTIFIER]
FAMILIES = [configs.ExplorationConfig, configs.LossConfig, configs.OptimizerConfig, configs.ScheduleConfig]


def name_of(value) -> str:
    return type(value).__name__ if isinstance(value, Config) else getattr(value, "__name__", str(value))


# To a dict and back -----------------------------------------------------------------------------------------------------


def test_there_is_an_example_of_every_config_and_every_field_is_set_in_one() -> None:
    assert {type(example) for example in EXAMPLES} == set(CONCRETE)
    for each in CONCRETE:
        for field in dataclasses.fields(each):
            given = [getattr(example, field.name) for example in EXAMPLES if type(example) is each]
            assert any(value != field.default for value in given), f"{each.__name__}.{field.name} is at its default"


def test_no_two_configs_share_an_identifier() -> None:
    identifiers = [each.IDENTIFIER for each in CONCRETE]
    assert len(set(identifiers)) == len(identifiers)


@pytest.mark.parametrize("config", EXAMPLES, ids=name_of)
def test_a_config_survives_the_way_to_a_dict_and_back(config) -> None:
    back = Config.from_dict(config.to_dict())
    assert type(back) is type(config)
    assert back == config


@pytest.mark.parametrize("config", EXAMPLES, ids=name_of)
def test_a_config_survives_the_way_to_json_and_back(config) -> None:
    back = Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert type(back) is type(config)
    assert back == config


@pytest.mark.parametrize("config", EXAMPLES, ids=name_of)
def test_the_dict_holds_the_identifier_and_every_field_as_plain_values(config) -> None:
    plain = config.to_dict()
    assert plain["identifier"] == config.IDENTIFIER
    assert set(plain) == {"identifier", *(field.name for field in dataclasses.fields(config))}
    assert not any(isinstance(value, Config) for value in plain.values())


def test_changing_the_dict_does_not_change_the_config() -> None:
    config = configs.MetricConfig(arguments={"dtype": "float64"})
    config.to_dict()["arguments"]["dtype"] = "float32"
    assert config.arguments == {"dtype": "float64"}


@pytest.mark.parametrize(
    "config",
    [
        DecayExplorationConfig(decay_type="piecewise_constant", boundaries=[10], values=[0.9, 0.1]),
        configs.PiecewiseConstantDecayConfig([10], [0.3, 0.2]),
    ],
    ids=name_of,
)
def test_a_config_given_lists_for_tuples_equals_its_round_trip_too(config) -> None:
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("config", [example for example in EXAMPLES if type(example) is not configs.MetricConfig], ids=name_of)
def test_a_config_is_frozen_and_hashable(config) -> None:
    assert hash(config) == hash(Config.from_dict(config.to_dict()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.anything = 1


def test_a_family_finds_its_own_members_and_a_class_itself_without_an_identifier() -> None:
    assert configs.LossConfig.from_dict({"identifier": "huber", "delta": 2.0}) == configs.HuberLossConfig(2.0)
    assert configs.HuberLossConfig.from_dict({"delta": 2.0}) == configs.HuberLossConfig(2.0)


@pytest.mark.parametrize("family", FAMILIES, ids=name_of)
def test_an_unknown_identifier_is_named_with_those_there_are_and_the_nearest(family) -> None:
    members = sorted(each.IDENTIFIER for each in CONCRETE if issubclass(each, family))
    wrong = members[0] + "x"
    with pytest.raises(ValueError, match=wrong) as caught:
        family.from_dict({"identifier": wrong})
    assert all(repr(identifier) in str(caught.value) for identifier in members)
    assert f"Did you mean {members[0]!r}?" in str(caught.value)


def test_a_member_of_another_family_is_refused() -> None:
    with pytest.raises(ValueError, match="identifier='adam' is not a LossConfig"):
        configs.LossConfig.from_dict({"identifier": "adam"})


@pytest.mark.parametrize("family", [Config, *FAMILIES], ids=name_of)
def test_a_family_needs_an_identifier(family) -> None:
    with pytest.raises(ValueError, match=f"is not a {family.__name__}"):
        family.from_dict({})


@pytest.mark.parametrize("config", EXAMPLES, ids=name_of)
def test_an_unknown_field_is_named_with_those_there_are(config) -> None:
    with pytest.raises(ValueError, match=rf"{type(config).__name__} has no field 'unheard_of'") as caught:
        Config.from_dict({**config.to_dict(), "unheard_of": 1})
    assert all(repr(field.name) in str(caught.value) for field in dataclasses.fields(config))


def test_a_misspelt_field_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'learning_rate'?"):
        Config.from_dict({"identifier": "adam", "learning_rte": 0.1})


def test_a_misspelt_field_of_a_nested_config_is_named_too() -> None:
    values = configs.AdamConfig(learning_rate=configs.CosineDecayConfig(0.5, 10)).to_dict()
    values["learning_rate"]["decay_step"] = 5
    with pytest.raises(ValueError, match=r"CosineDecayConfig has no field 'decay_step'.*Did you mean 'decay_steps'?"):
        Config.from_dict(values)


# Optimizers -------------------------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("config", OPTIMIZERS, ids=name_of)
def test_every_optimizer_takes_a_step_down_the_gradient(config) -> None:
    step = step_of(config) - WEIGHTS
    # Weight decay and Ftrl also pull the weights towards zero, the first weight and the third against nothing else.
    assert step[0] < 0
    assert step[2] < 0
    if not isinstance(config, configs.AdamWConfig | configs.FtrlConfig):
        assert step[1] > 0


@pytest.mark.parametrize("each", [each for each in CONCRETE if issubclass(each, configs.OptimizerConfig)], ids=name_of)
def test_every_optimizer_builds_with_its_defaults_and_steps(each) -> None:
    assert (step_of(each()) != np.float32(WEIGHTS)).all()


@pytest.mark.parametrize("each", [each for each in CONCRETE if issubclass(each, configs.OptimizerConfig)], ids=name_of)
def test_every_optimizer_builds_the_keras_class_of_its_name_with_its_defaults_uncompiled(each) -> None:
    optimizer, keras = each().build(), getattr(tf_keras.optimizers, each.__name__.removesuffix("Config"))
    assert type(optimizer) is keras
    assert not optimizer.jit_compile
    ours, theirs = optimizer.get_config(), keras(jit_compile=False).get_config()
    assert ours == theirs, "the defaults are said to be tf-keras's own"


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
def test_the_second_step_knows_of_the_first(config, scale) -> None:
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


# Schedules --------------------------------------------------------------------------------------------------------------

STEPS = [0, 1, 4, 5, 9, 10, 11, 20, 21, 25, 30, 39, 40, 100]


def restarts(initial: float, first: int, t_mul: float, m_mul: float, alpha: float, step: int) -> float:
    """Walks from restart to restart (Loshchilov and Hutter 2016): each period `t_mul` times as long, `m_mul` as high."""
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
    # Restarts at 10, 40 and so on, and at every 10.
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
def test_every_schedule_drives_an_optimizer(name) -> None:
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
    # As from 1.0; it is 1 at step 0 and has not ended half way.
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
def test_a_schedule_over_no_steps_is_refused_by_name(build) -> None:
    with pytest.raises(ValueError, match="decay_steps=0"):
        build().build()


@pytest.mark.parametrize(("boundaries", "values"), [((10,), (0.1,)), ((), ()), ((1, 2), (0.1, 0.2, 0.3, 0.4))], ids=str)
def test_a_piecewise_schedule_needs_one_value_more_than_boundaries(boundaries, values) -> None:
    with pytest.raises(ValueError, match=r"values=.* must have one entry more than boundaries="):
        configs.PiecewiseConstantDecayConfig(boundaries, values)


def test_a_piecewise_schedule_refuses_boundaries_out_of_order() -> None:
    with pytest.raises(ValueError, match="boundaries"):
        configs.PiecewiseConstantDecayConfig((20, 10), (0.3, 0.2, 0.1))


# Losses -----------------------------------------------------------------------------------------------------------------

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


# Exploration ------------------------------------------------------------------------------------------------------------

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
        "exploration_rate": INITIAL,
        "decay_type": decay_type,
        "start_decay_at": START,
        "stop_decay_at": STOP,
        "decay_rate": RATE,
        "decay_steps": DECAY_STEPS,
        "min_exploration_rate": MINIMUM,
        "power": POWER,
    }
    if decay_type == "piecewise_constant":
        arguments |= {"boundaries": BOUNDARIES, "values": VALUES}
    return DecayExplorationConfig(**{**arguments, **changes})


def rates_of(config: configs.ExplorationConfig, timesteps: list[int]) -> list[float]:
    return [float(config.rate(tf.constant(timestep, tf.int64))) for timestep in timesteps]


@pytest.mark.parametrize("decay_type", DECAYS)
def test_every_decay_is_its_formula_before_within_and_after_the_decay(decay_type) -> None:
    elapsed = [min(max(timestep, START), STOP) - START for timestep in TIMESTEPS]
    expected = [max(DECAYS[decay_type](t), MINIMUM) for t in elapsed]
    np.testing.assert_allclose(rates_of(decay(decay_type), TIMESTEPS), expected, rtol=1e-5)


@pytest.mark.parametrize("decay_type", DECAYS)
def test_every_decay_rests_before_its_start_and_after_its_stop(decay_type) -> None:
    early, at_start, at_stop, late = rates_of(decay(decay_type), [0, START, STOP, 10**12])
    assert early == at_start > at_stop == late


@pytest.mark.parametrize("decay_type", DECAYS)
def test_no_decay_falls_below_its_minimum_which_need_not_be_whole(decay_type) -> None:
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
def test_a_slow_natural_decay_keeps_its_pace(decay_rate) -> None:
    # The usual exp(-decay_rate * t): after 1 / decay_rate steps the rate is down to 1 / e.
    steps = round(1 / decay_rate)
    config = DecayExplorationConfig(decay_type="natural_exp_decay", decay_rate=decay_rate, decay_steps=1)
    np.testing.assert_allclose(rates_of(config, [steps]), [math.exp(-1)], rtol=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"decay_type": "exponential_decay", "decay_rate": 3.0},
        {"decay_type": "polynomial_decay", "power": -1.0},
        {"decay_type": "polynomial_decay", "power": float("nan")},
    ],
    ids=str,
)
def test_the_rate_is_a_probability_or_the_config_is_refused(changes) -> None:
    try:
        config = DecayExplorationConfig(exploration_rate=0.5, decay_steps=DECAY_STEPS, **changes)
    except ValueError:
        return
    rates = rates_of(config, [0, DECAY_STEPS // 2, DECAY_STEPS, 2 * DECAY_STEPS])
    assert all(0.0 <= rate <= 1.0 for rate in rates), rates


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
def test_the_other_explorations_never_change(config, expected) -> None:
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
        ({"start_decay_at": 10, "stop_decay_at": 9}, "stop_decay_at=9 must be at least 10"),
        ({"decay_steps": 0}, "decay_steps=0"),
        ({"decay_rate": -0.5}, "decay_rate=-0.5"),
        ({"decay_rate": float("inf")}, "decay_rate=inf"),
        ({"decay_type": "cubic_decay"}, "decay_type='cubic_decay' is unknown; use one of .*'polynomial_decay'"),
        ({"decay_type": "piecewise_constant"}, "piecewise_constant needs boundaries"),
        ({"decay_type": "piecewise_constant", "boundaries": (5,), "values": (0.5,)}, "one more value than boundaries"),
        ({"decay_type": "piecewise_constant", "boundaries": (5,), "values": (0.5, 1.5)}, "values=1.5"),
        ({"decay_type": "piecewise_constant", "boundaries": (9, 5), "values": (0.5, 0.4, 0.3)}, "boundaries"),
        ({"boundaries": (5,)}, "boundaries and values belong to piecewise_constant, not to polynomial_decay"),
        ({"values": (0.5,)}, "boundaries and values belong to piecewise_constant"),
    ],
    ids=str,
)
def test_a_wrong_decay_is_refused_with_the_name_of_what_is_wrong(changes, name) -> None:
    with pytest.raises(ValueError, match=name):
        DecayExplorationConfig(**changes)


@pytest.mark.parametrize("changes", [{"start_decay_at": 1.5}, {"decay_steps": 10.0}, {"exploration_rate": "1"}], ids=str)
def test_a_decay_of_another_type_is_refused_by_name(changes) -> None:
    with pytest.raises(TypeError, match=next(iter(changes))):
        DecayExplorationConfig(**changes)


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_constant_rate_outside_zero_to_one_is_refused(value) -> None:
    with pytest.raises(ValueError, match=f"value={value}"):
        configs.ConstantExplorationConfig(value)


# Metrics ----------------------------------------------------------------------------------------------------------------


def test_a_metric_of_one_value_measures_its_prediction() -> None:
    config = configs.MetricConfig("Mean", "losses")
    metric = config.build()
    for losses in ([1.0, 2.0], [6.0, 7.0]):
        config.update(metric, {"losses": tf.constant(losses), "q": tf.zeros(2)})
    assert metric.name == config.key == "Mean_losses"
    assert float(metric.result()) == (1 + 2 + 6 + 7) / 4


def test_a_metric_of_two_values_gets_the_target_first() -> None:
    # Precision is hits over predicted positives: of predictions 1, 1 against 1, 0 it is 1/2; the other way round, 1.
    config = configs.MetricConfig("Precision", "guess", target="labels.truth", name="hits")
    metric = config.build()
    config.update(metric, {"guess": tf.constant([1.0, 1.0]), "labels.truth": tf.constant([1.0, 0.0])})
    assert metric.name == config.key == "hits"
    assert float(metric.result()) == 0.5


def test_the_arguments_of_a_metric_reach_it() -> None:
    config = configs.MetricConfig("Precision", "guess", "truth", arguments={"thresholds": 0.9})
    metric = config.build()
    config.update(metric, {"guess": tf.constant([0.95, 0.8]), "truth": tf.constant([1.0, 0.0])})
    assert float(metric.result()) == 1.0  # 0.8 is no positive any more


@pytest.mark.parametrize(("prediction", "target", "missing"), [("qq", None, "qq"), ("q", "labels.x", "labels.x")])
def test_a_metric_names_the_value_it_misses(prediction, target, missing) -> None:
    config = configs.MetricConfig("Mean" if target is None else "MeanSquaredError", prediction, target)
    with pytest.raises(KeyError, match=f"asks for '{missing}'"):
        config.update(config.build(), {"q": tf.zeros(2)})


def test_an_unknown_metric_is_named_with_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"metric='MeanSquareError' is not a usable class of tf_keras.metrics.*'MeanSquaredError'"
    ):
        configs.MetricConfig("MeanSquareError")
