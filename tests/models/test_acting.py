"""How a model acts: exploring in TRAIN, greedily in EVAL, by its policy in PREDICT."""

from __future__ import annotations

import random

import numpy as np
import pytest
import tensorflow as tf

from polyrl.configs import (
    ConstantExplorationConfig,
    DecayExplorationConfig,
    GreedyExplorationConfig,
    RandomExplorationConfig,
)
from polyrl.models import Scope
from polyrl.networks import mlp
from polyrl.policies import BasePolicy, CategoricalQPolicy, PolicyStep, QPolicy

SEEDS = [0, 1, 2]
ROWS = 3000
DECAY = DecayExplorationConfig(exploration_rate=1.0, decay_steps=100, min_exploration_rate=0.1)


@pytest.fixture
def states(batch):
    def make(seed=0, size=ROWS):
        return batch(seed, size=size)[0]

    return make


def act(model, features):
    """The actions, and which of them are the greedy ones."""
    predictions = model(features).predictions
    actions = predictions["results"].numpy()
    return actions, actions == np.argmax(predictions["q"], axis=1)


def assert_rate(observed, expected, number):
    """A frequency within five standard deviations of what it should be."""
    deviation = np.sqrt(expected * (1.0 - expected) / number)
    assert abs(observed - expected) <= 5.0 * deviation + 1e-12, (observed, expected)


# TRAIN ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epsilon", "seed"), [(0.1, 0), (0.6, 1), (0.6, 2)])
def test_training_explores_at_the_rate_of_the_config(head_kind, states, epsilon, seed):
    """A random action is the greedy one in one case of three."""
    model = head_kind("train", Scope(seed=seed), exploration_config=ConstantExplorationConfig(epsilon))
    _, greedy = act(model, states(seed))
    assert_rate(1.0 - greedy.mean(), epsilon * 2 / 3, ROWS)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_row_throws_its_own_coin(dqn, states, seed):
    """A6: within one batch some rows explore and others do not, whatever their place."""
    model = dqn("train", Scope(seed=seed), exploration_config=ConstantExplorationConfig(0.5))
    explores = ~act(model, states(seed))[1]
    for part in np.split(explores, 6):
        assert_rate(part.mean(), 1 / 3, len(part))
    together = (explores[1:] & explores[:-1]).mean()
    assert_rate(together, 1 / 9, ROWS / 2)  # Neighbours are independent of each other.


@pytest.mark.parametrize("seed", SEEDS)
def test_random_actions_are_uniform_over_all_actions(dqn, states, seed):
    actions, _ = act(dqn("train", Scope(seed=seed), exploration_config=RandomExplorationConfig()), states(seed))
    assert actions.dtype == np.int32
    for action in range(3):
        assert_rate((actions == action).mean(), 1 / 3, ROWS)


def test_the_greedy_config_never_explores(head_kind, states):
    assert act(head_kind("train", exploration_config=GreedyExplorationConfig()), states())[1].all()


def test_by_default_one_action_in_twenty_is_random(dqn, states):
    spec = dqn("train")(states())
    np.testing.assert_allclose(spec.extra_ops["exploration_rate"], 0.05)


@pytest.mark.parametrize(("timestep", "rate"), [(0, 1.0), (50, 0.55), (100, 0.1), (10**7, 0.1)])
def test_exploration_is_a_function_of_the_environment_steps(head_kind, scope, states, timestep, rate):
    """A7, E13: of `global_timestep`, and of no other counter."""
    model = head_kind("train", scope, exploration_config=DECAY)
    scope.global_timestep.assign(timestep)
    scope.global_step.assign(77)
    scope.global_episode.assign(88)
    spec = model(states())
    np.testing.assert_allclose(spec.extra_ops["exploration_rate"], rate, rtol=1e-5)
    greedy = spec.predictions["results"].numpy() == np.argmax(spec.predictions["q"], axis=1)
    assert_rate(1.0 - greedy.mean(), rate * 2 / 3, ROWS)


def test_a_compiled_function_sees_the_environment_steps_continue(dqn, scope, states):
    model = dqn("train", scope, exploration_config=DECAY)
    rate = tf.function(lambda features: model(features).extra_ops["exploration_rate"], autograph=False)
    features = states(size=4)
    rates = []
    for timestep in (0, 50, 100):
        scope.global_timestep.assign(timestep)
        rates.append(float(rate(features)))
    np.testing.assert_allclose(rates, [1.0, 0.55, 0.1], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("restored_randomness")
def test_actions_follow_from_the_seed_and_the_environment_steps(dqn, states):
    def actions(seed, timestep, disturb=False):
        scope = Scope(seed=seed)
        model = dqn("train", scope, exploration_config=RandomExplorationConfig())
        scope.global_timestep.assign(timestep)
        if disturb:
            tf.random.set_seed(99)
            random.random()
            model(states())
        return model(states()).predictions["results"].numpy()

    base = actions(1, 5)
    np.testing.assert_array_equal(base, actions(1, 5))
    np.testing.assert_array_equal(base, actions(1, 5, disturb=True))
    for other in (actions(2, 5), actions(1, 6)):
        assert_rate((base == other).mean(), 1 / 3, ROWS)


def test_coins_of_successive_steps_are_independent(dqn, scope, states):
    model = dqn("train", scope, exploration_config=ConstantExplorationConfig(0.5))
    explores = []
    for _ in range(2):
        explores.append(~act(model, states())[1])
        scope.global_timestep.assign_add(1)
    assert_rate((explores[0] & explores[1]).mean(), 1 / 9, ROWS)


@pytest.mark.slow
def test_compiled_and_eager_exploration_draw_the_same_actions(dqn, states):
    model = dqn("train", Scope(seed=3), exploration_config=ConstantExplorationConfig(0.5))
    eager = model(states()).predictions["results"]
    traced = tf.function(lambda features: model(features).predictions["results"], autograph=False, jit_compile=True)
    np.testing.assert_array_equal(traced(states()), eager)


def test_acting_changes_nothing_and_builds_the_networks_alone(head_kind, scope, batch, networks, equal):
    for mode in ("train", "eval", "infer"):
        model = head_kind(mode, scope)
        model(batch()[0])
        before = networks.everything()
        model(batch(1)[0])
        assert equal(networks.everything(), before)
    assert list(scope.parts) == ["Model/online", "Model/target"]


def test_with_labels_the_results_are_greedy_and_no_rate_is_reported(head_kind, batch):
    spec = head_kind("train", exploration_config=RandomExplorationConfig())(*batch(size=300))
    np.testing.assert_array_equal(spec.predictions["results"], np.argmax(spec.predictions["q"], axis=1))
    assert "exploration_rate" not in spec.extra_ops


# EVAL -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["eval", "infer"])
@pytest.mark.parametrize("exploration", [RandomExplorationConfig(), DECAY], ids=["random", "decay"])
def test_nobody_explores_in_eval_or_infer(head_kind, scope, states, mode, exploration):
    """A7, A8: and neither mode trips over the exploration's config."""
    spec = head_kind(mode, scope, exploration_config=exploration)(states())
    np.testing.assert_array_equal(spec.predictions["results"], np.argmax(spec.predictions["q"], axis=1))
    assert "exploration_rate" not in spec.extra_ops


def test_evaluation_with_labels_is_greedy_too(head_kind, batch):
    predictions = head_kind("eval", exploration_config=RandomExplorationConfig())(*batch(size=300)).predictions
    np.testing.assert_array_equal(predictions["results"], np.argmax(predictions["q"], axis=1))


def test_a_temperature_is_the_business_of_infer_alone(head_kind, batch):
    predictions = head_kind("eval", temperature=100.0)(batch(size=300)[0]).predictions
    np.testing.assert_array_equal(predictions["results"], np.argmax(predictions["q"], axis=1))


# PREDICT --------------------------------------------------------------------------------------------------------------


def test_infer_acts_by_what_the_policy_of_its_kind_chooses(kind, monkeypatch, batch):
    acting = []

    def action(policy, *args, **kwargs):
        acting.append(policy)
        return PolicyStep(tf.fill([6], 2))

    monkeypatch.setattr(BasePolicy, "action", action)
    for mode in ("train", "eval"):
        kind(mode)(batch()[0])
    assert acting == []
    assert kind("infer", temperature=0.25)(batch()[0]).predictions["results"].numpy().tolist() == [2] * 6
    (policy,) = acting
    assert type(policy) is (CategoricalQPolicy if kind.categorical else QPolicy)
    assert policy.temperature == 0.25
    assert policy.num_actions == 3
    if kind.categorical:
        np.testing.assert_allclose(policy.support, np.linspace(-2.0, 3.0, 11), rtol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_infer_is_greedy_by_default(head_kind, states, seed):
    model = head_kind("infer", Scope(seed=seed))
    actions, greedy = act(model, states(seed))
    assert greedy.all()
    assert len(np.unique(actions)) > 1


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_a_temperature_draws_from_the_tempered_values(head_kind, batch, temperature):
    """One state many times: the frequencies are `softmax(q / temperature)`, for C51 over the expected values."""
    state = batch(5, size=1)[0]["state"]
    model = head_kind("infer", Scope(seed=2), temperature=temperature)
    predictions = model({"state": tf.repeat(state, ROWS, axis=0)}).predictions
    q = predictions["q"].numpy()[0].astype(np.float64)
    wanted = np.exp((q - q.max()) / temperature)
    wanted /= wanted.sum()
    for action in range(3):
        assert_rate((predictions["results"].numpy() == action).mean(), wanted[action], ROWS)


def test_a_high_temperature_is_uniform_and_a_low_one_greedy(head_kind, states):
    hot, _ = act(head_kind("infer", temperature=1e6), states())
    for action in range(3):
        assert_rate((hot == action).mean(), 1 / 3, ROWS)
    assert act(head_kind("infer", temperature=1e-6), states())[1].mean() > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_sampling_works_compiled_and_moves_on_at_each_call(head_kind, states, jit_compile):
    def drawn(jit_compile):
        model = head_kind("infer", Scope(seed=1), temperature=1e6)
        sample = tf.function(lambda f: model(f).predictions["results"], jit_compile=jit_compile, autograph=False)
        return [sample(states()).numpy() for _ in range(2)]

    first, second = drawn(jit_compile)
    np.testing.assert_array_equal([first, second], drawn(False))
    for actions in (first, second):
        assert_rate((actions == 2).mean(), 1 / 3, ROWS)
    assert_rate((first == second).mean(), 1 / 3, ROWS)


@pytest.mark.slow
def test_an_eager_model_draws_another_action_each_time(head_kind, scope, batch):
    """The original of this fault: one and the same action for ever, at any temperature."""
    model = head_kind("infer", scope, temperature=1e4)
    row = {"state": batch()[0]["state"][:1]}
    assert len({int(model(row).predictions["results"][0]) for _ in range(40)}) == 3


@pytest.mark.slow
def test_infer_exports_its_predictions_and_the_other_modes_do_not(head_kind, batch):
    spec = head_kind("infer")(batch()[0])
    assert set(spec.export_outputs) == {"serving_default"}
    assert spec.export_outputs["serving_default"].keys() == spec.predictions.keys()
    for key, value in spec.predictions.items():
        np.testing.assert_array_equal(spec.export_outputs["serving_default"][key], value)
    assert (spec.loss, spec.train_op) == (None, None)
    for mode, given in (("train", batch()), ("train", batch()[:1]), ("eval", batch()), ("eval", batch()[:1])):
        assert head_kind(mode)(*given).export_outputs is None


@pytest.mark.slow
def test_infer_acts_by_what_training_has_learnt(head_kind, scope, batch):
    """Each state's rewarded action becomes the greedy one."""
    features, labels = batch(size=3, action=[0, 1, 2], reward=[2.0, 2.0, 2.0], done=[1.0, 1.0, 1.0])
    learning = head_kind("train", scope, graph_fn=mlp([32]), clip_gradients=None)
    update = tf.function(lambda: learning(features, labels).train_op(), autograph=False)
    for _ in range(200):
        update()
    assert head_kind("infer", scope, graph_fn=mlp([32]))(features).predictions["results"].numpy().tolist() == [0, 1, 2]


def test_one_row_and_many_rows_act_alike(head_kind, batch):
    features = batch(size=5)[0]
    model = head_kind("infer")
    together = model(features).predictions["results"].numpy()
    alone = [int(model({"state": features["state"][i : i + 1]}).predictions["results"][0]) for i in range(5)]
    assert together.tolist() == alone
