"""What each exploration config makes of the actions, discrete and continuous."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from polyrl import configs, explorations, ops
from polyrl.configs import (
    BoltzmannExplorationConfig,
    ConstantExplorationConfig,
    DecayExplorationConfig,
    ExplorationConfig,
    GreedyExplorationConfig,
    OrnsteinUhlenbeckExplorationConfig,
    RandomDecayExplorationConfig,
    RandomExplorationConfig,
)
from polyrl.explorations import explorer
from polyrl.models import DQNModel, NAFModel, Scope
from polyrl.networks import mlp
from polyrl.policies import StepType

LOW, HIGH = np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32)
ROWS, K = 2_000, 2
DISCRETE = {
    "constant": (ConstantExplorationConfig(0.3), explorations.EpsilonGreedy, 0.3),
    "greedy": (GreedyExplorationConfig(), explorations.EpsilonGreedy, 0.0),
    "random": (RandomExplorationConfig(), explorations.EpsilonGreedy, 1.0),
    "decay": (DecayExplorationConfig(0.5), explorations.EpsilonGreedy, 0.5),
    "boltzmann": (BoltzmannExplorationConfig(7.0), explorations.Boltzmann, 7.0),
}
CONTINUOUS = {
    "constant": (ConstantExplorationConfig(0.3), explorations.GaussianNoise, 0.3),
    "greedy": (GreedyExplorationConfig(), explorations.GaussianNoise, 0.0),
    "random": (RandomExplorationConfig(), explorations.UniformActions, 1.0),
    "decay": (DecayExplorationConfig(0.5), explorations.GaussianNoise, 0.5),
    "random_decay": (RandomDecayExplorationConfig(0.4), explorations.GaussianNoise, 0.4),
    "ornstein_uhlenbeck": (OrnsteinUhlenbeckExplorationConfig(0.2), explorations.OrnsteinUhlenbeckNoise, 0.2),
}
"""The config, its explorer, and its rate at timestep 0."""
EVERY = [(False, name) for name in DISCRETE] + [(True, name) for name in CONTINUOUS]


def build(continuous, exploration, scope=None, mode="train", **arguments):
    """A small model in a scope."""
    with (Scope() if scope is None else scope).active():
        given = {"exploration_config": exploration, "summaries": [], **arguments}
        if not continuous:
            return DQNModel(mode, mlp([8]), 3, 4, **given)
        return NAFModel(mode, mlp([8]), 3, K, action_low=LOW.tolist(), action_high=HIGH.tolist(), **given)


def states(rows=ROWS, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=[rows, 3]), tf.float32)


def features(begins=None, rows=ROWS):
    """The same states; `begins` says which are the first of an episode."""
    given = {"state": states(rows)}
    if begins is not None:
        given["step_type"] = tf.constant(np.where(begins, StepType.FIRST, StepType.MID), tf.int32)
    return given


def noise_of(predictions):
    """What was added to the best action, in units of half the range."""
    return (predictions["results"].numpy() - predictions["mean"].numpy()) / ((HIGH - LOW) / 2)


# Which explorer. --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("continuous", "name"), EVERY)
def test_each_config_has_the_explorer_of_its_kind_of_actions(continuous, name):
    """E11: constant, greedy and random are there for both kinds."""
    config, expected, _ = (CONTINUOUS if continuous else DISCRETE)[name]
    assert explorer(config, continuous) is expected
    assert name == config.IDENTIFIER


def test_every_config_there_is_is_in_one_of_the_tables():
    found = {getattr(configs, name) for name in configs.__all__ if name.endswith("ExplorationConfig")} - {ExplorationConfig}
    assert found == {type(row[0]) for row in [*DISCRETE.values(), *CONTINUOUS.values()]}


REFUSED = [
    (True, BoltzmannExplorationConfig(), "discrete"),
    (False, RandomDecayExplorationConfig(), "continuous"),
    (False, OrnsteinUhlenbeckExplorationConfig(), "continuous"),
]


@pytest.mark.parametrize(("continuous", "config", "kind"), REFUSED, ids=lambda value: getattr(value, "IDENTIFIER", value))
@pytest.mark.parametrize("asked", [explorer, lambda config, continuous: build(continuous, config)], ids=["explorer", "model"])
def test_a_config_of_the_other_kind_is_refused_with_those_that_would_do(continuous, config, kind, asked):
    """E11, A11: by the model's own kind of actions, when it is made."""
    with pytest.raises(ValueError, match="exploration_config") as caught:
        asked(config, continuous)
    message = str(caught.value)
    assert type(config).__name__ in message
    assert f"is for {kind} actions" in message
    for name, (usable, *_) in (CONTINUOUS if continuous else DISCRETE).items():
        assert type(usable).__name__ in message.split("use one of")[1], name


def test_what_is_no_exploration_config_is_refused():
    for wrong in (0.1, "greedy", GreedyExplorationConfig):
        with pytest.raises(TypeError, match="exploration_config"):
            build(True, wrong)
        with pytest.raises(TypeError, match="exploration_config"):
            explorer(wrong, True)


@dataclasses.dataclass(frozen=True)
class OwnConfig(ExplorationConfig):
    """A rate of one's own."""

    def rate(self, timestep):
        return tf.constant(0.25)


@dataclasses.dataclass(frozen=True)
class OwnProcess(OrnsteinUhlenbeckExplorationConfig):
    """As its parent."""


def test_a_config_of_ones_own_is_taken_for_what_it_derives_from():
    assert explorer(OwnConfig(), False) is explorations.EpsilonGreedy
    assert explorer(OwnConfig(), True) is explorations.GaussianNoise
    assert explorer(OwnProcess(), True) is explorations.OrnsteinUhlenbeckNoise
    with pytest.raises(ValueError, match="is for continuous actions"):
        explorer(OwnProcess(), False)


# Configs. ---------------------------------------------------------------------------------------------------------------

WRONG = [
    (OrnsteinUhlenbeckExplorationConfig, {"sigma": -0.1}, ValueError),
    (OrnsteinUhlenbeckExplorationConfig, {"theta": -0.1}, ValueError),
    (OrnsteinUhlenbeckExplorationConfig, {"mu": math.inf}, ValueError),
    (OrnsteinUhlenbeckExplorationConfig, {"mu": "0"}, TypeError),
    (OrnsteinUhlenbeckExplorationConfig, {"dt": 0.0}, ValueError),
    (OrnsteinUhlenbeckExplorationConfig, {"dt": -1.0}, ValueError),
    (OrnsteinUhlenbeckExplorationConfig, {"theta": 4.0, "dt": 0.5}, ValueError),
    (BoltzmannExplorationConfig, {"temperature": -1.0}, ValueError),
    (BoltzmannExplorationConfig, {"temperature": math.nan}, ValueError),
    (BoltzmannExplorationConfig, {"final_temperature": -1.0}, ValueError),
    (BoltzmannExplorationConfig, {"decay_steps": 0}, ValueError),
    (BoltzmannExplorationConfig, {"decay_steps": 1.5}, TypeError),
    (RandomDecayExplorationConfig, {"min_exploration_rate": -0.1}, ValueError),
    (RandomDecayExplorationConfig, {"decay_type": "cubic"}, ValueError),
    (RandomDecayExplorationConfig, {"boundaries": (3,), "values": (0.5, 0.1)}, ValueError),
]


@pytest.mark.parametrize(("config", "arguments", "error"), WRONG, ids=str)
def test_a_wrong_field_is_refused_by_name(config, arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        config(**arguments)


def test_a_random_decay_keeps_a_minimum_that_is_not_whole_and_all_decays():
    """E7: 0.05 does not become 0. E6: `piecewise_constant` has the fields it needs."""
    config = RandomDecayExplorationConfig(min_exploration_rate=0.05, decay_steps=10)
    assert float(config.rate(tf.constant(10_000, tf.int64))) == pytest.approx(0.05)
    piecewise = RandomDecayExplorationConfig(
        decay_type="piecewise_constant", boundaries=(5, 9), values=(0.5, 0.25, 0.01), min_exploration_rate=0.05
    )
    assert [float(piecewise.rate(tf.constant(t, tf.int64))) for t in (0, 5, 6, 9, 10)] == pytest.approx(
        [0.5, 0.5, 0.25, 0.25, 0.05]
    )


def test_the_temperature_goes_linearly_to_its_end_and_stays():
    config = BoltzmannExplorationConfig(2.0, 0.5, 100)
    found = [float(config.rate(tf.constant(t, tf.int64))) for t in (0, 50, 100, 10**6)]
    assert found == pytest.approx([2.0, 1.25, 0.5, 0.5])
    assert float(BoltzmannExplorationConfig(2.0).rate(tf.constant(10**6, tf.int64))) == 2.0
    assert float(BoltzmannExplorationConfig(1.0, 0.0, 10).rate(tf.constant(99, tf.int64))) == 0.0


# Noise. -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "rate"), [("constant", 0.1), ("decay", 0.1), ("random_decay", 0.1)])
def test_the_noise_is_normal_of_the_rates_scale_about_zero_for_each_number_of_its_own(name, rate):
    """A9, E2, E12: no offset that all share, and scaled to the range of each dimension."""
    config = type(CONTINUOUS[name][0])(rate)
    predictions = build(True, config)(features()).predictions
    assert (predictions["results"].shape, predictions["results"].dtype) == ((ROWS, K), tf.float32)
    noise = noise_of(predictions) / rate
    assert (abs(noise.mean(axis=0)) < 5 / np.sqrt(ROWS)).all()
    assert (abs(noise.std(axis=0) - 1.0) < 5 / np.sqrt(2 * ROWS)).all()
    assert abs(np.corrcoef(noise.T)[0, 1]) < 5 / np.sqrt(ROWS)
    assert (abs(noise) > 2.0).mean() == pytest.approx(0.0455, abs=5 * np.sqrt(0.0455 / noise.size))


def test_a_random_decay_draws_anew_each_step():
    """E4: not once when the graph is built; the steps are independent, and of the scale of their timestep."""
    scope = Scope()
    model = build(True, RandomDecayExplorationConfig(0.2, decay_steps=20, min_exploration_rate=0.1), scope)
    act = tf.function(lambda: model(features(rows=200)).predictions, autograph=False)
    drawn = []
    for timestep in range(0, 40, 2):
        scope.global_timestep.assign(timestep)
        rate = max(0.1, 0.2 - 0.1 * timestep / 20)
        drawn.append(noise_of(act()) / rate)
    drawn = np.array(drawn)
    assert (abs(drawn.std(axis=(1, 2)) - 1.0) < 5 / np.sqrt(2 * 400)).all()
    for later in (1, 2, 5):
        assert abs((drawn[later:] * drawn[:-later]).mean()) < 5 / np.sqrt(drawn[later:].size)


def test_greedy_numbers_are_the_best_ones():
    predictions = build(True, GreedyExplorationConfig())(features()).predictions
    np.testing.assert_array_equal(predictions["results"], predictions["mean"])


def test_random_numbers_are_spread_evenly_over_the_range_of_each_dimension():
    actions = build(True, RandomExplorationConfig())(features()).predictions["results"].numpy()
    share = (actions - LOW) / (HIGH - LOW)
    for column in share.T:
        counts = np.bincount((column * 10).astype(int), minlength=10)
        assert (abs(counts - ROWS / 10) < 5 * np.sqrt(ROWS * 0.09)).all()
    assert abs(np.corrcoef(share.T)[0, 1]) < 5 / np.sqrt(ROWS)


@pytest.mark.parametrize("config", [ConstantExplorationConfig(1.0), OrnsteinUhlenbeckExplorationConfig(5.0)], ids=str)
def test_actions_stay_within_the_range_and_come_to_its_ends(config):
    actions = build(True, config)(features(begins=np.ones(ROWS, bool))).predictions["results"].numpy()
    assert (actions >= LOW).all()
    assert (actions <= HIGH).all()
    np.testing.assert_array_equal(actions.min(axis=0), LOW)
    np.testing.assert_array_equal(actions.max(axis=0), HIGH)


def test_boltzmann_actions_are_drawn_by_the_values_at_the_temperature_of_the_timestep():
    scope = Scope(seed=1)
    model = build(False, BoltzmannExplorationConfig(1.0, 0.05, 100), scope)
    state = tf.repeat(states(1, seed=3), 4_000, axis=0)
    for timestep, temperature in ((0, 1.0), (1_000, 0.05)):
        scope.global_timestep.assign(timestep)
        predictions = model(state).predictions
        q = predictions["q"].numpy()[0].astype(np.float64)
        expected = np.exp((q - q.max()) / temperature)
        expected /= expected.sum()
        found = np.bincount(predictions["results"], minlength=4) / 4_000
        assert (abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / 4_000) + 1e-9).all()


# Noise that goes on. ----------------------------------------------------------------------------------------------------

PROCESS = OrnsteinUhlenbeckExplorationConfig(sigma=0.4, mu=0.3, theta=0.2, dt=0.5)
BEGINS = [[True] * 3, [False] * 3, [False, True, False], [False] * 3, [True, False, False], [False] * 3]


def process(normals, begins=BEGINS, config=PROCESS):
    """The noise, number by number, `[steps, N, k]`."""
    steps = []
    for normal, fresh in zip(normals, begins, strict=True):
        noise = np.zeros_like(normal, np.float64)
        for n in range(normal.shape[0]):
            for i in range(normal.shape[1]):
                x = 0.0 if fresh[n] else steps[-1][n, i]
                noise[n, i] = x + config.theta * (config.mu - x) * config.dt + config.sigma * config.dt**0.5 * normal[n, i]
        steps.append(noise)
    return np.array(steps)


def test_each_environment_has_noise_of_its_own_that_begins_at_zero_with_an_episode_and_no_earlier():
    """E1, E3: against a loop; environment 1 begins anew at step 2, environment 0 at step 4."""
    explore = explorations.OrnsteinUhlenbeckNoise(PROCESS, tf.TensorShape([3, K]))
    best = tf.constant(np.random.default_rng(0).uniform(-1, 1, [3, K]), tf.float32)
    seeds = [tf.constant([step, 4]) for step in range(len(BEGINS))]
    noise = process([ops.normal([3, K], seed).numpy() for seed in seeds])
    for seed, begins, expected in zip(seeds, BEGINS, noise, strict=True):
        actions = explore(best, tf.constant(PROCESS.sigma), seed, tf.constant(begins))
        # The action is clipped, the process is not.
        np.testing.assert_allclose(actions, np.clip(best + expected, -1, 1), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(explore.noise, expected, rtol=1e-5, atol=1e-6)
    assert (abs(noise[-1]) > 1e-3).all()


@pytest.mark.parametrize("compilation", ["eager", "function", "xla"])
def test_a_model_begins_anew_where_the_step_types_say_so(compilation):
    """The correlation of steps within an episode is `1 - theta dt`; across its border, none."""
    rows = 3_000
    scope = Scope()
    model = build(True, OrnsteinUhlenbeckExplorationConfig(sigma=0.05, theta=0.1), scope)

    def act(begins):
        return model({"state": states(rows), "step_type": tf.where(begins, 0, 1)}).predictions

    if compilation != "eager":
        act = tf.function(act, autograph=False, jit_compile=compilation == "xla")
    half = np.arange(rows) < rows // 2
    drawn = []
    for timestep, begins in enumerate([np.full(rows, True), np.full(rows, False), half]):
        scope.global_timestep.assign(timestep)
        drawn.append(noise_of(act(tf.constant(begins))) / 0.05)
    first, second, third = drawn
    assert abs(np.mean(second * first) - 0.9) < 5 * np.sqrt(2 * 1.9 / first.size)
    assert abs(np.mean(third[half] * second[half])) < 5 * np.sqrt(1.81 / (first.size / 2))
    assert abs(np.mean(third[~half] * second[~half]) - 0.9 * 1.81) < 5 * np.sqrt(2 * 2.5 * 1.81 / (first.size / 2))


@pytest.mark.parametrize("given", [states, lambda: {"state": states()}])
def test_noise_that_goes_on_asks_for_step_types(given):
    model = build(True, OrnsteinUhlenbeckExplorationConfig())
    with pytest.raises(ValueError, match=r"features\['step_type'\] is missing"):
        model(given())
    assert build(True, ConstantExplorationConfig())(given()).predictions["results"].shape == (ROWS, K)


def test_another_number_of_environments_has_noise_of_its_own():
    model = build(True, OrnsteinUhlenbeckExplorationConfig())
    for rows in (3, 5, 3):
        step_type = tf.zeros([rows], tf.int32)
        assert model({**features(rows=rows), "step_type": step_type}).predictions["results"].shape == (rows, K)


def test_without_a_number_of_environments_there_is_no_noise_that_goes_on():
    model = build(True, OrnsteinUhlenbeckExplorationConfig())
    act = tf.function(lambda given: model(given).predictions["results"], autograph=False)
    given = {"state": tf.TensorSpec([None, 3]), "step_type": tf.TensorSpec([None], tf.int32)}
    with pytest.raises(ValueError, match="needs to know the number of environments"):
        act.get_concrete_function(given)


def test_the_step_type_is_nothing_that_the_network_sees():
    seen = []

    def graph_fn(mode, inputs):
        seen.append(sorted(inputs))
        return tf.identity(inputs["state"])

    with Scope().active():
        NAFModel("train", graph_fn, 3, K, summaries=[])(features(np.ones(ROWS, bool)))
    assert seen == [["state"]] * 6  # Networks, modes.


# However it is run. -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jit", [False, True], ids=["function", "xla"])
@pytest.mark.parametrize(("continuous", "name"), EVERY)
def test_the_same_actions_eagerly_traced_and_compiled(continuous, name, jit):
    """Over steps with episodes that begin in different places."""
    config, _, _ = (CONTINUOUS if continuous else DISCRETE)[name]
    found = []
    for wrap in (lambda f: f, lambda f: tf.function(f, autograph=False, jit_compile=jit)):
        scope = Scope(seed=2)
        model = build(continuous, config, scope)
        act = wrap(lambda given, model=model: model(given).predictions["results"])
        actions = []
        for timestep, begins in enumerate(BEGINS):
            scope.global_timestep.assign(timestep)
            actions.append(act(features(begins, rows=3)).numpy())
        found.append(actions)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["eval", "infer"])
@pytest.mark.parametrize(("continuous", "name"), EVERY)
def test_nobody_explores_in_eval_or_infer(continuous, name, mode):
    """A7, A8: nor is anything of the exploration built there."""
    config, _, _ = (CONTINUOUS if continuous else DISCRETE)[name]
    scope = Scope()
    spec = build(continuous, config, scope, mode)(features())
    predictions = spec.predictions
    best = predictions["mean"] if continuous else np.argmax(predictions["q"], axis=1)
    np.testing.assert_array_equal(predictions["results"], best)
    assert "exploration_rate" not in spec.extra_ops
    assert list(scope.parts) == ["Model/online", "Model/target"]


@pytest.mark.parametrize(("continuous", "name"), EVERY)
def test_the_rate_is_reported_whatever_the_config_is(continuous, name):
    """E10, E12: a scalar."""
    config, _, rate = (CONTINUOUS if continuous else DISCRETE)[name]
    found = build(continuous, config)(features(begins=np.ones(ROWS, bool))).extra_ops["exploration_rate"]
    assert found.shape == ()
    assert float(found) == pytest.approx(rate)
