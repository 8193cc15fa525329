"""Seeds: the same seed draws the same actions, whatever its type and however the call is compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import ACTIONS, COMPILATIONS, categorical, steps
from value_testing import BOTH, of_output, random_output, steps_of

from polyrl.policies import QPolicy

ROWS = 100


@pytest.mark.default_cases(2)
@BOTH
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("seed", [0, 7, -3])
def test_the_same_seed_gives_the_same_actions_eagerly_traced_and_compiled(policy_class, seed, jit_compile) -> None:
    policy = of_output(policy_class, random_output(policy_class, ROWS), temperature=10.0)
    first = policy.action(steps_of(ROWS), seed=seed).action
    np.testing.assert_array_equal(policy.action(steps_of(ROWS), seed=seed).action, first)
    traced = tf.function(lambda step: policy.action(step, seed=seed).action, jit_compile=jit_compile)
    np.testing.assert_array_equal(traced(steps_of(ROWS)), first)
    assert (policy.action(steps_of(ROWS), seed=seed + 1).action.numpy() != first.numpy()).any()


@pytest.mark.default_cases(3)
@BOTH
@pytest.mark.parametrize("jit_compile", [False, True])
def test_both_numbers_of_a_seed_tensor_count(policy_class, jit_compile) -> None:
    policy = of_output(policy_class, random_output(policy_class, ROWS), temperature=10.0)
    traced = tf.function(lambda step, seed: policy.action(step, seed=seed).action, jit_compile=jit_compile)
    drawn = []
    for seed in (tf.constant([3, 5]), tf.constant([3, 6]), tf.constant([4, 5])):
        drawn.append(policy.action(steps_of(ROWS), seed=seed).action.numpy())
        np.testing.assert_array_equal(traced(steps_of(ROWS), seed), drawn[-1])
    assert (drawn[0] != drawn[1]).any()
    assert (drawn[0] != drawn[2]).any()


def test_without_a_seed_every_call_draws_other_actions() -> None:
    policy = of_output(QPolicy, np.zeros((ROWS, ACTIONS)))
    traced = tf.function(lambda step: policy.action(step).action)
    for act in (lambda step: policy.action(step).action, traced):
        assert (act(steps_of(ROWS)).numpy() != act(steps_of(ROWS)).numpy()).any()


@pytest.mark.parametrize("seed", [np.int64(7), np.int32(7), 2**31 - 1, 2**31, 2**40, -(2**40)], ids=repr)
def test_any_integer_is_a_seed(seed) -> None:
    policy = of_output(QPolicy, np.zeros((ROWS, ACTIONS)))
    first = policy.action(steps_of(ROWS), seed=seed).action
    np.testing.assert_array_equal(policy.action(steps_of(ROWS), seed=seed).action, first)
    for other in (int(seed) + 1, int(seed) + 2**40):
        assert (policy.action(steps_of(ROWS), seed=other).action.numpy() != first.numpy()).any()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, -3, 2**31, 2**40 + 5])
def test_a_scalar_tensor_is_the_same_seed_as_the_int(seed: int) -> None:
    policy, step = categorical(temperature=10.0), steps(rows=ROWS)
    drawn = policy.action(step, seed=seed).action
    for wrap in COMPILATIONS.values():
        act = wrap(lambda number: policy.action(step, seed=number).action)
        np.testing.assert_array_equal(act(tf.constant(seed, tf.int64)), drawn)


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (1.5, TypeError, "seed=1.5 must be an integer"),
        (True, TypeError, "seed=True must be an integer"),
        (tf.constant([1.0, 2.0]), TypeError, "seed=.* must be an integer"),
        (tf.constant([1, 2, 3]), ValueError, r"seed has shape \(3,\), expected \(\) or \(2,\)"),
    ],
)
def test_a_seed_that_is_not_made_of_integers_is_refused(seed: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        categorical().action(steps(), seed=seed)
