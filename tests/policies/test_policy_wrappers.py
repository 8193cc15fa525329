"""Greedy, epsilon-greedy, Boltzmann and random policies, by the same contract."""

from __future__ import annotations

from typing import Any

from polyrl.policies import BoltzmannPolicy, CategoricalQPolicy, EpsilonGreedyPolicy, GreedyPolicy, QPolicy, RandomPolicy

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import ACTION, ACTIONS, MASK, ROWS, SPEC, categorical, counting, masked, probabilities, q_model, steps

MASK = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1], [1, 0, 1], [0, 1, 0]])


def masked(**arguments: Any) -> CategoricalQPolicy:
    return categorical(observation_and_action_constraint_splitter=lambda each: (each, tf.constant(MASK)), **arguments)


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
    inner = counting(lambda each: (each, tf.ones([ROWS, ACTIONS])), 1.0, True, False)
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
def test_a_number_that_will_not_do_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_no_policy_cannot_be_wrapped() -> None:
    with pytest.raises(TypeError, match="policy=3 must be a policy"):
        GreedyPolicy(3)
