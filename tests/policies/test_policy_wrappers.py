"""Greedy, epsilon-greedy, Boltzmann and random policies, of discrete and of continuous actions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from policy_testing import (
    ACTION,
    ACTIONS,
    COMPILATIONS,
    CONTINUOUS,
    MASK,
    ROWS,
    SPEC,
    WRAPS,
    atoms_model,
    categorical,
    counting,
    masked,
    naf,
    naf_model,
    probabilities,
    q_model,
    steps,
)

from polyrl.policies import (
    BasePolicy,
    BoltzmannPolicy,
    CategoricalQPolicy,
    EpsilonGreedyPolicy,
    GreedyPolicy,
    QPolicy,
    RandomPolicy,
)

WRAPPERS = {
    "greedy": GreedyPolicy,
    "epsilon": lambda policy: EpsilonGreedyPolicy(policy, 0.5),
    "boltzmann": lambda policy: BoltzmannPolicy(policy, 2.0),
    "random": lambda policy: RandomPolicy(SPEC, ACTION, policy.observation_and_action_constraint_splitter),
}


@pytest.mark.parametrize("policy", [categorical(), masked()], ids=["free", "masked"])
def test_wrappers_change_the_probabilities_as_they_say(policy: CategoricalQPolicy) -> None:
    base = probabilities(policy)
    legal = base > 0
    greedy = np.eye(ACTIONS)[base.argmax(axis=1)]
    np.testing.assert_array_equal(probabilities(GreedyPolicy(policy)), greedy)
    for epsilon in (0.0, 0.3, 1.0):
        chance = legal / legal.sum(axis=1, keepdims=True)
        expected = epsilon * chance + (1 - epsilon) * greedy
        np.testing.assert_allclose(probabilities(EpsilonGreedyPolicy(policy, epsilon)), expected, atol=1e-6)
        assert (probabilities(EpsilonGreedyPolicy(policy, epsilon))[~legal] == 0.0).all()
    for temperature in (0.5, 4.0):
        powers = base ** (1 / temperature)
        expected = powers / powers.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(probabilities(BoltzmannPolicy(policy, temperature)), expected, rtol=1e-4)
    np.testing.assert_array_equal(probabilities(BoltzmannPolicy(policy, 0.0)), greedy)
    splitter = policy.observation_and_action_constraint_splitter
    random = RandomPolicy(SPEC, ACTION, splitter)
    np.testing.assert_allclose(probabilities(random), legal / legal.sum(axis=1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("make", [
    GreedyPolicy, lambda policy: EpsilonGreedyPolicy(policy, 0.5), lambda policy: BoltzmannPolicy(policy, 2.0)
], ids=["greedy", "epsilon", "boltzmann"])  # fmt: skip
def test_wrappers_keep_the_contract_of_what_they_wrap(make: Any) -> None:
    inner = counting(
        observation_and_action_constraint_splitter=lambda each: (each, tf.ones([ROWS, ACTIONS])),
        emit_log_probability=True,
        validate_args=False,
    )
    policy = make(inner)
    assert policy.wrapped_policy is inner
    assert policy.time_step_spec is inner.time_step_spec
    assert policy.action_spec is inner.action_spec
    assert policy.policy_step_spec == inner.policy_step_spec
    assert policy.observation_and_action_constraint_splitter is inner.observation_and_action_constraint_splitter
    assert policy.emit_log_probability
    assert not policy.validate_args
    step = policy.action(steps(), seed=1)
    np.testing.assert_array_equal(step.state["count"], np.ones(ROWS))
    np.testing.assert_array_equal(policy.action(steps(), seed=1).action, step.action)
    assert len(make(QPolicy(SPEC, ACTION, q_model())).variables) >= 6


@pytest.mark.slow
def test_epsilon_and_temperature_may_change_from_call_to_call() -> None:
    epsilon, temperature = tf.Variable(0.0), tf.Variable(1.0)
    for policy in (EpsilonGreedyPolicy(categorical(), epsilon), EpsilonGreedyPolicy(categorical(), lambda: epsilon)):
        act = tf.function(lambda step, policy=policy: policy.distribution(step).action.probs_parameter())
        epsilon.assign(0.0)
        assert act(steps()).numpy().max() == 1.0
        epsilon.assign(1.0)
        np.testing.assert_allclose(act(steps()), np.full((ROWS, ACTIONS), 1 / ACTIONS), rtol=1e-6)
    policy = BoltzmannPolicy(categorical(), temperature)
    act = tf.function(lambda step: policy.distribution(step).action.probs_parameter())
    before = act(steps()).numpy()
    temperature.assign(100.0)
    assert act(steps()).numpy().max() < before.max()


@pytest.mark.parametrize(("make", "message"), [
    (lambda: EpsilonGreedyPolicy(categorical(), 1.5), "epsilon=1.5"),
    (lambda: BoltzmannPolicy(categorical(), -1.0), "temperature=-1.0"),
])  # fmt: skip
def test_a_number_out_of_bounds_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_only_a_policy_can_be_wrapped() -> None:
    with pytest.raises(TypeError, match="policy=3 must be a BasePolicy"):
        GreedyPolicy(3)


@pytest.mark.parametrize("inner", [lambda policy: policy, GreedyPolicy], ids=["cold", "greedy"])
def test_epsilon_explores_all_legal_actions_whatever_the_other_policy_draws(inner: Any) -> None:
    """A policy at temperature 0 draws one action only; which ones are legal is known from the mask."""
    found = probabilities(EpsilonGreedyPolicy(inner(masked(temperature=0.0)), 0.6))
    greedy = probabilities(masked(temperature=0.0))
    np.testing.assert_allclose(found, 0.6 * MASK / MASK.sum(axis=1, keepdims=True) + 0.4 * greedy, atol=1e-6)
    assert (found[MASK == 0] == 0.0).all()


@pytest.mark.default_cases(6)
@pytest.mark.parametrize("make", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("wrap", COMPILATIONS.values(), ids=COMPILATIONS)
def test_the_same_seed_gives_the_same_legal_actions_by_every_wrapper(make: Any, wrap: Any) -> None:
    rows = 60 * ROWS
    mask = np.tile(MASK, [60, 1])
    policy, step = make(masked(mask)), steps(rows=rows)
    drawn = policy.action(step, seed=5).action.numpy()
    np.testing.assert_array_equal(wrap(lambda each: policy.action(each, seed=5).action)(step), drawn)
    assert (mask[np.arange(rows), drawn] == 1).all()
    if not isinstance(policy, GreedyPolicy):
        assert (policy.action(step, seed=6).action.numpy() != drawn).any()


@pytest.mark.parametrize("make", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_a_row_without_a_legal_action_is_an_error_by_every_wrapper(make: Any, wrap: Any) -> None:
    policy = make(masked(np.where(np.arange(ROWS)[:, np.newaxis] == 2, 0, MASK)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="leaves a row without any legal action"):
        wrap(lambda step: policy.action(step, seed=0).action)(steps())


@pytest.mark.slow
def test_a_number_that_leaves_its_bounds_later_is_refused() -> None:
    value = tf.Variable(0.5)
    for policy, name in (
        (EpsilonGreedyPolicy(categorical(), value), "epsilon"),
        (EpsilonGreedyPolicy(categorical(), lambda: value), "epsilon"),
        (BoltzmannPolicy(categorical(), value), "temperature"),
    ):
        value.assign(0.5)
        act = tf.function(lambda step, policy=policy: policy.action(step).action)
        policy.action(steps())
        act(steps())
        value.assign(-0.5)
        with pytest.raises(ValueError, match=f"{name}=-0.5 must lie in"):
            policy.action(steps())
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{name} must lie in"):
            act(steps())
    with pytest.raises(ValueError, match=r"epsilon has shape \(2,\)"):
        EpsilonGreedyPolicy(categorical(), lambda: tf.constant([0.5, 0.5])).action(steps())


def test_a_temperature_may_fall_to_zero() -> None:
    temperature = tf.Variable(1.0)
    policy = BoltzmannPolicy(categorical(), temperature)
    act = tf.function(lambda step: policy.distribution(step).action.probs_parameter())
    act(steps())
    temperature.assign(0.0)
    np.testing.assert_array_equal(act(steps()), probabilities(GreedyPolicy(categorical())))


def test_an_update_moves_networks_and_leaves_epsilon_and_temperature() -> None:
    def make(seed: int, number: float) -> BasePolicy:
        inner = BoltzmannPolicy(categorical(atoms_model(seed)), tf.Variable(number))
        return EpsilonGreedyPolicy(inner, tf.Variable(number))

    own, other = make(0, 0.25), make(1, 0.75)
    assert own.update(other) == len(own.variables) == 6
    assert own.epsilon == 0.25
    assert own.wrapped_policy.temperature == 0.25
    for left, right in zip(own.variables, other.variables, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_random_policy_keeps_the_contract() -> None:
    splitter = masked().observation_and_action_constraint_splitter
    policy = RandomPolicy(SPEC, ACTION, splitter, emit_log_probability=True, validate_args=False, name="any")
    assert (policy.time_step_spec, policy.action_spec, policy.policy_state_spec) == (SPEC, ACTION, ())
    assert policy.observation_and_action_constraint_splitter is splitter
    assert (policy.emit_log_probability, policy.validate_args, policy.name) == (True, False, "any")
    step = policy.action(steps(), seed=0)
    np.testing.assert_allclose(step.info.log_probability, -np.log(MASK.sum(axis=1)), rtol=1e-6)
    assert policy.get_initial_state(3) == ()
    with pytest.raises(ValueError, match="time_step does not match its spec"):
        RandomPolicy(SPEC, ACTION).action(steps()._replace(observation=tf.zeros([ROWS, 1])))


# Continuous actions -----------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("wrap", COMPILATIONS.values(), ids=COMPILATIONS)
@pytest.mark.parametrize("fixed", [True, False], ids=["number", "variable"])
def test_a_boltzmann_policy_multiplies_the_temperatures(wrap: Any, fixed: bool) -> None:
    network, step = naf_model(), steps(rows=100)
    for own, other in ((0.5, 0.25), (2.0, 4.0), (1.0, 0.0), (0.0, 3.0)):
        policy = BoltzmannPolicy(naf(network, temperature=own), other if fixed else tf.Variable(other))
        expected = naf(network, temperature=own * other)
        found = wrap(lambda each, policy=policy: policy.action(each, seed=5).action)(step)
        np.testing.assert_allclose(found, expected.action(step, seed=5).action, rtol=1e-4, atol=1e-4)
        if own * other > 0.0:
            found, wanted = (each.distribution(step).action.covariance() for each in (policy, expected))
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_greedy_policy_takes_the_mean() -> None:
    network = naf_model()
    policy = GreedyPolicy(naf(network, temperature=2.0))
    np.testing.assert_array_equal(policy.action(steps(), seed=5).action, naf(network).action(steps()).action)
    assert isinstance(policy.distribution(steps()).action, tfp.distributions.VectorDeterministic)
    assert policy.action_spec is CONTINUOUS
    assert len(policy.variables) == 4
    assert not hasattr(policy, "num_actions")
    again = GreedyPolicy(BoltzmannPolicy(naf(network, temperature=2.0), tf.Variable(3.0)))
    np.testing.assert_array_equal(again.action(steps(), seed=5).action, policy.action(steps()).action)


def test_the_log_probability_of_a_boltzmann_policy_is_its_own() -> None:
    network, step = naf_model(), steps(rows=100)
    temperature = tf.Variable(0.25)
    policy = BoltzmannPolicy(naf(network, temperature=2.0, emit_log_probability=True), temperature)
    expected = naf(network, temperature=0.5, emit_log_probability=True).action(step, seed=5)
    found = tf.function(lambda each: tuple(policy.action(each, seed=5)))(step)
    np.testing.assert_allclose(found[2].log_probability, expected.info.log_probability, rtol=1e-3, atol=1e-3)
    temperature.assign(0.0)
    with pytest.raises(ValueError, match=r"temperature=0.0 must lie in"):
        policy.action(step)
    with pytest.raises(tf.errors.InvalidArgumentError, match="temperature must lie in"):
        tf.function(lambda each: policy.action(each).action)(step)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: naf(emit_log_probability=True), "emit_log_probability=True needs a temperature above 0, got temperature=0.0"),
        (lambda: naf(emit_log_probability=True, temperature=1e-300), "needs a temperature above 0, got temperature=1e-300"),
        (lambda: GreedyPolicy(naf(emit_log_probability=True, temperature=1.0)), "policy=.* has emit_log_probability=True"),
        (lambda: BoltzmannPolicy(naf(emit_log_probability=True, temperature=1.0), 0.0), "temperature=0.0 must be above 0"),
        (
            lambda: BoltzmannPolicy(naf(emit_log_probability=True, temperature=1e-30), 1e-30).action(steps()),
            "no probability density",
        ),
    ],
)
def test_a_log_probability_is_refused_where_there_is_no_density(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("inner", [lambda policy: policy, GreedyPolicy], ids=["itself", "greedy"])
def test_epsilon_greedy_is_refused_for_continuous_actions(inner: Any) -> None:
    with pytest.raises(TypeError, match=r"policy=<.*> must choose among discrete actions, got action_spec=.*shape=\(2,\)"):
        EpsilonGreedyPolicy(inner(naf()), 0.1)


def test_a_random_policy_refuses_continuous_actions() -> None:
    with pytest.raises(ValueError, match=r"action_spec=.* must be one integer"):
        RandomPolicy(SPEC, CONTINUOUS)
