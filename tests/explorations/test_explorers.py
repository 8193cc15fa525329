"""The explorers: the distribution of the actions, discrete and continuous, eagerly, traced and compiled."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from exploration_testing import CONTINUOUS, DISCRETE, EVERY, HIGH, LOW, ROWS, K, build, features, noise_of, states

from polyrl import explorations, ops
from polyrl.configs import (
    BoltzmannExplorationConfig,
    ConstantExplorationConfig,
    GreedyExplorationConfig,
    OrnsteinUhlenbeckExplorationConfig,
    RandomDecayExplorationConfig,
    RandomExplorationConfig,
)
from polyrl.models import NAFModel, Scope


@pytest.mark.parametrize(("name", "rate"), [("constant", 0.1), ("decay", 0.1), ("random_decay", 0.1)])
def test_the_noise_is_normal_with_the_rate_as_its_standard_deviation_and_independent(name, rate):
    """It has no common offset, and is scaled to the range of each dimension."""
    config = type(CONTINUOUS[name][0])(rate)
    predictions = build(True, config)(features()).predictions
    assert (predictions["results"].shape, predictions["results"].dtype) == ((ROWS, K), tf.float32)
    noise = noise_of(predictions) / rate
    assert (abs(noise.mean(axis=0)) < 5 / np.sqrt(ROWS)).all()
    assert (abs(noise.std(axis=0) - 1.0) < 5 / np.sqrt(2 * ROWS)).all()
    assert abs(np.corrcoef(noise.T)[0, 1]) < 5 / np.sqrt(ROWS)
    assert (abs(noise) > 2.0).mean() == pytest.approx(0.0455, abs=5 * np.sqrt(0.0455 / noise.size))


def test_a_random_decay_draws_again_at_each_step():
    """Not only once, when the graph is built: the steps are independent, and scaled by the rate of their timestep."""
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


def test_greedy_continuous_actions_are_the_mean():
    predictions = build(True, GreedyExplorationConfig())(features()).predictions
    np.testing.assert_array_equal(predictions["results"], predictions["mean"])


def test_random_continuous_actions_are_uniform_over_the_range_of_each_dimension():
    actions = build(True, RandomExplorationConfig())(features()).predictions["results"].numpy()
    share = (actions - LOW) / (HIGH - LOW)
    for column in share.T:
        counts = np.bincount((column * 10).astype(int), minlength=10)
        assert (abs(counts - ROWS / 10) < 5 * np.sqrt(ROWS * 0.09)).all()
    assert abs(np.corrcoef(share.T)[0, 1]) < 5 / np.sqrt(ROWS)


@pytest.mark.parametrize("config", [ConstantExplorationConfig(1.0), OrnsteinUhlenbeckExplorationConfig(5.0)], ids=str)
def test_actions_stay_within_the_range_and_come_to_its_ends(config):
    actions = build(True, config)(features(is_first=np.ones(ROWS, bool))).predictions["results"].numpy()
    assert (actions >= LOW).all()
    assert (actions <= HIGH).all()
    np.testing.assert_array_equal(actions.min(axis=0), LOW)
    np.testing.assert_array_equal(actions.max(axis=0), HIGH)


def test_boltzmann_actions_have_the_softmax_probabilities_at_the_temperature_of_the_timestep():
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


PROCESS = OrnsteinUhlenbeckExplorationConfig(sigma=0.4, mu=0.3, theta=0.2, dt=0.5)

IS_FIRST = [[True] * 3, [False] * 3, [False, True, False], [False] * 3, [True, False, False], [False] * 3]


def process(normals, is_first=IS_FIRST, config=PROCESS):
    """The noise by a loop over its elements, `[steps, N, k]`."""
    steps = []
    for normal, first in zip(normals, is_first, strict=True):
        noise = np.zeros_like(normal, np.float64)
        for n in range(normal.shape[0]):
            for i in range(normal.shape[1]):
                x = 0.0 if first[n] else steps[-1][n, i]
                noise[n, i] = x + config.theta * (config.mu - x) * config.dt + config.sigma * config.dt**0.5 * normal[n, i]
        steps.append(noise)
    return np.array(steps)


def test_the_process_of_each_environment_starts_at_zero_in_each_episode_and_only_there():
    """Compared with a loop; environment 1 starts a new episode at step 2, environment 0 at step 4."""
    explore = explorations.OrnsteinUhlenbeckNoise(PROCESS, tf.TensorShape([3, K]))
    greedy = tf.constant(np.random.default_rng(0).uniform(-1, 1, [3, K]), tf.float32)
    seeds = [tf.constant([step, 4]) for step in range(len(IS_FIRST))]
    noise = process([ops.normal([3, K], seed).numpy() for seed in seeds])
    for seed, is_first, expected in zip(seeds, IS_FIRST, noise, strict=True):
        actions = explore(greedy, tf.constant(PROCESS.sigma), seed, tf.constant(is_first))
        # The action is clipped, the process is not.
        np.testing.assert_allclose(actions, np.clip(greedy + expected, -1, 1), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(explore.noise, expected, rtol=1e-5, atol=1e-6)
    assert (abs(noise[-1]) > 1e-3).all()


@pytest.mark.parametrize("compilation", ["eager", "function", "xla"])
def test_a_model_restarts_the_process_where_the_step_types_say_so(compilation):
    """The correlation of steps within an episode is `1 - theta dt`, and zero across its start."""
    rows = 3_000
    scope = Scope()
    model = build(True, OrnsteinUhlenbeckExplorationConfig(sigma=0.05, theta=0.1), scope)

    def act(is_first):
        return model({"state": states(rows), "step_type": tf.where(is_first, 0, 1)}).predictions

    if compilation != "eager":
        act = tf.function(act, autograph=False, jit_compile=compilation == "xla")
    half = np.arange(rows) < rows // 2
    drawn = []
    for timestep, is_first in enumerate([np.full(rows, True), np.full(rows, False), half]):
        scope.global_timestep.assign(timestep)
        drawn.append(noise_of(act(tf.constant(is_first))) / 0.05)
    first, second, third = drawn
    assert abs(np.mean(second * first) - 0.9) < 5 * np.sqrt(2 * 1.9 / first.size)
    assert abs(np.mean(third[half] * second[half])) < 5 * np.sqrt(1.81 / (first.size / 2))
    assert abs(np.mean(third[~half] * second[~half]) - 0.9 * 1.81) < 5 * np.sqrt(2 * 2.5 * 1.81 / (first.size / 2))


@pytest.mark.parametrize("given", [states, lambda: {"state": states()}])
def test_temporally_correlated_noise_needs_step_types(given):
    model = build(True, OrnsteinUhlenbeckExplorationConfig())
    with pytest.raises(ValueError, match=r"features\['step_type'\] is missing"):
        model(given())
    assert build(True, ConstantExplorationConfig())(given()).predictions["results"].shape == (ROWS, K)


def test_the_number_of_environments_may_change():
    model = build(True, OrnsteinUhlenbeckExplorationConfig())
    for rows in (3, 5, 3):
        step_type = tf.zeros([rows], tf.int32)
        assert model({**features(rows=rows), "step_type": step_type}).predictions["results"].shape == (rows, K)


def test_temporally_correlated_noise_needs_a_known_number_of_environments():
    model = build(True, OrnsteinUhlenbeckExplorationConfig())
    act = tf.function(lambda given: model(given).predictions["results"], autograph=False)
    given = {"state": tf.TensorSpec([None, 3]), "step_type": tf.TensorSpec([None], tf.int32)}
    with pytest.raises(ValueError, match="needs to know the number of environments"):
        act.get_concrete_function(given)


def test_the_network_does_not_get_the_step_type():
    seen = []

    def graph_fn(mode, inputs):
        seen.append(sorted(inputs))
        return tf.identity(inputs["state"])

    with Scope().active():
        NAFModel("train", graph_fn, 3, K, summaries=[])(features(np.ones(ROWS, bool)))
    assert seen == [["state"]] * 4  # The online network in three modes, the target network.


@pytest.mark.slow
@pytest.mark.parametrize("jit", [pytest.param(False, marks=pytest.mark.slow), True], ids=["function", "xla"])
@pytest.mark.parametrize(("continuous", "name"), EVERY)
def test_the_same_actions_eagerly_traced_and_compiled(continuous, name, jit):
    """Over several steps, with episodes that start at different ones."""
    config, _, _ = (CONTINUOUS if continuous else DISCRETE)[name]
    found = []
    for wrap in (lambda f: f, lambda f: tf.function(f, autograph=False, jit_compile=jit)):
        scope = Scope(seed=2)
        model = build(continuous, config, scope)
        act = wrap(lambda given, model=model: model(given).predictions["results"])
        actions = []
        for timestep, is_first in enumerate(IS_FIRST):
            scope.global_timestep.assign(timestep)
            actions.append(act(features(is_first, rows=3)).numpy())
        found.append(actions)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-5)


@pytest.mark.default_cases(11)
@pytest.mark.parametrize("mode", ["eval", "infer"])
@pytest.mark.parametrize(("continuous", "name"), EVERY)
def test_nobody_explores_in_eval_or_infer(continuous, name, mode):
    """Nor are the explorer's variables created there."""
    config, _, _ = (CONTINUOUS if continuous else DISCRETE)[name]
    scope = Scope()
    spec = build(continuous, config, scope, mode)(features())
    predictions = spec.predictions
    greedy = predictions["mean"] if continuous else np.argmax(predictions["q"], axis=1)
    np.testing.assert_array_equal(predictions["results"], greedy)
    assert "exploration_rate" not in spec.extra_ops
    assert list(scope.parts) == ["Model/online", "Model/target"]


@pytest.mark.default_cases(10)
@pytest.mark.parametrize(("continuous", "name"), EVERY)
def test_the_rate_is_reported_whatever_the_config_is(continuous, name):
    """As a scalar."""
    config, _, rate = (CONTINUOUS if continuous else DISCRETE)[name]
    found = build(continuous, config)(features(is_first=np.ones(ROWS, bool))).extra_ops["exploration_rate"]
    assert found.shape == ()
    assert float(found) == pytest.approx(rate)
