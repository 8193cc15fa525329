"""Recurrent networks: the state is carried from step to step and reset at the start of each episode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import (
    ACTION,
    ACTIONS,
    ATOMS,
    COMPILATIONS,
    FEATURES,
    ROWS,
    SPEC,
    WRAPS,
    Recurrent,
    categorical,
    counting,
    q_model,
    steps,
)

from polyrl.policies import QPolicy, StepType, TimeStep


def test_the_initial_state_is_zeros_with_and_without_a_batch() -> None:
    policy = counting()
    for batch_size, outer in ((None, ()), (4, (4,)), (tf.constant(4), (4,))):
        state = policy.get_initial_state(batch_size)
        assert state["count"].shape == outer
        assert state["sums"][0].shape == (*outer, 2)
        assert all((leaf.numpy() == 0).all() for leaf in tf.nest.flatten(state))
    assert policy.get_initial_state()["count"].shape == ()
    assert QPolicy(SPEC, ACTION, q_model()).get_initial_state(4) == ()


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_a_state_is_carried_and_reset_where_an_episode_starts(wrap: Any) -> None:
    policy = counting(temperature=0.0)
    act = wrap(lambda step, state: policy.action(step, state))
    types = tf.constant([0, 1, 2, 0, 1, 1])
    state = {"count": tf.fill([ROWS], 1.0), "sums": (tf.fill([ROWS, 2], 5.0),)}
    step = steps()._replace(step_type=types)
    result = act(step, state)
    np.testing.assert_array_equal(result.state["count"], [1, 2, 2, 1, 2, 2])
    before = np.where(types.numpy() == 0, 0.0, 5.0)[:, np.newaxis]
    np.testing.assert_allclose(result.state["sums"][0], before + step.observation.numpy()[:, :2], rtol=1e-6)
    np.testing.assert_array_equal(result.action, [1, 2, 2, 1, 2, 2])


def test_without_a_state_the_initial_one_is_taken() -> None:
    policy = counting(temperature=0.0)
    np.testing.assert_array_equal(policy.action(steps(StepType.MID)).state["count"], np.ones(ROWS))


@pytest.mark.parametrize("batch_size", [-1, 2.5, "four", True])
def test_a_batch_size_that_is_not_a_number_of_rows_is_refused(batch_size: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=f"batch_size={batch_size!r}"):
        counting().get_initial_state(batch_size)


def by_hand(network: Recurrent, observations: list[np.ndarray], first: list[bool]) -> np.ndarray:
    """The atoms' logits after the last observation: a GRU step by step in numpy, zeros at each first step."""

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-x))

    kernel, recurrent, (bias, recurrent_bias) = (weight.numpy() for weight in network.cell.weights)
    state = np.zeros((ROWS, 8))
    for observation, is_first in zip(observations, first, strict=True):
        state = np.zeros_like(state) if is_first else state
        x, h = observation @ kernel + bias, state @ recurrent + recurrent_bias
        z, r = sigmoid(x[:, :8] + h[:, :8]), sigmoid(x[:, 8:16] + h[:, 8:16])
        state = z * state + (1 - z) * np.tanh(x[:, 16:] + r * h[:, 16:])
    head, head_bias = (weight.numpy() for weight in network.head.weights)
    return (state @ head + head_bias).reshape(ROWS, ACTIONS, ATOMS)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("wrap", COMPILATIONS.values(), ids=COMPILATIONS)
def test_a_keras_model_with_a_state_remembers_its_own_episode_only(wrap: Any) -> None:
    network = Recurrent()
    policy = categorical(network)
    act = wrap(lambda step, state: policy.action(step, state, seed=3)[:2])
    rng = np.random.default_rng(0)
    observations = [rng.normal(size=(ROWS, FEATURES)).astype(np.float32) for _ in range(5)]
    first = [True, False, False, True, False]
    state = [tf.fill([ROWS, 8], 9.0)]  # Left over from another episode.
    for observation, is_first in zip(observations, first, strict=True):
        kinds = tf.fill([ROWS], StepType.FIRST if is_first else StepType.MID)
        step, last = TimeStep.restart(tf.constant(observation), ROWS)._replace(step_type=kinds), state
        action, state = act(step, last)
        np.testing.assert_array_equal(action, policy.action(step, last, seed=3).action)
    logits = by_hand(network, observations, first)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    expected = weights / weights.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(policy.value_distribution(step, last).probabilities, expected, rtol=1e-4, atol=1e-6)
