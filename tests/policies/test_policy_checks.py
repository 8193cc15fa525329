"""What does not match its spec is refused, and the error says what differs, leaf by leaf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import (
    ACTION,
    ACTIONS,
    COMPILATIONS,
    ROWS,
    SPEC,
    Counter,
    categorical,
    counting,
    masked,
    nested,
    nested_policy,
    q_model,
    steps,
)

from polyrl.policies import BasePolicy, QPolicy, RandomPolicy, StepType, TimeStep


@pytest.mark.parametrize("method", ["action", "distribution"])
@pytest.mark.parametrize(
    ("step", "message"),
    [
        (nested(image=None), r"time_step.observation\['image'\] is missing: uint8 \[B, 2, 2\]"),
        (nested(sound=tf.zeros([ROWS])), r"time_step.observation\['sound'\] is not in the spec"),
        (nested(image=tf.zeros([ROWS, 2, 2])), r"observation\['image'\] has dtype float32; the spec says uint8"),
        (nested(image=tf.zeros([ROWS, 2, 3], tf.uint8)), r"has shape \(6, 2, 3\); the spec says uint8 \[B, 2, 2\]"),
        (nested(place=(tf.zeros([3]),)), r"observation\['place'\]\[0\] has shape \(3,\)"),
        (nested(place=(tf.zeros([5, 3]),)), r"observation\['place'\]\[0\] has 5 rows; time_step.step_type has 6"),
        (nested()._replace(step_type=tf.zeros([ROWS], tf.int64)), "time_step.step_type has dtype int64; the spec says int32"),
        (nested(place=[tf.zeros([ROWS, 3])]), r"observation\['place'\] is a list; the spec says a tuple"),
        (nested(place=tf.zeros([ROWS, 3])), r"observation\['place'\] is float32 \[6, 3\]; the spec says a tuple"),
        (nested(image={0: tf.zeros([ROWS])}), r"observation\['image'\] is a dict; the spec says uint8 \[B, 2, 2\]"),
        (nested(place=()), r"observation\['place'\]\[0\] is missing: float32 \[B, 3\]"),
        (nested(image=tf.zeros([2, ROWS, 2, 2], tf.uint8)), r"has shape \(2, 6, 2, 2\); the spec says uint8 \[B, 2, 2\]"),
        (nested(place=(np.zeros([ROWS, 3]),)), r"observation\['place'\]\[0\] has dtype float64; the spec says float32"),
    ],
)
def test_a_time_step_that_does_not_match_is_refused(method: str, step: TimeStep, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(nested_policy(), method)(step)


def test_all_that_differs_is_told_at_once() -> None:
    step = nested(image=tf.zeros([ROWS, 2, 2]), place=(tf.zeros([ROWS, 1]),))
    with pytest.raises(ValueError, match=r"\['image'\] has dtype.*\['place'\]\[0\] has shape"):
        nested_policy().action(step)


def test_a_tuple_is_no_time_step() -> None:
    with pytest.raises(TypeError, match="must be a TimeStep"):
        nested_policy().action(tuple(nested()))


def test_without_checks_what_does_not_match_is_let_through() -> None:
    step = nested(image=tf.zeros([ROWS, 2, 2]))
    policy = nested_policy(validate_args=False)
    assert not policy.validate_args
    assert policy.action(step, seed=0).action.shape == (ROWS,)


def test_arrays_of_the_right_dtype_will_do() -> None:
    step = TimeStep(*(np.asarray(leaf) for leaf in steps()))
    policy = QPolicy(SPEC, ACTION, q_model())
    np.testing.assert_array_equal(policy.action(step, seed=3).action, policy.action(steps(), seed=3).action)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"count": tf.zeros([ROWS])}, r"policy_state\['sums'\]\[0\] is missing"),
        ({"count": tf.zeros([ROWS], tf.int32), "sums": (tf.zeros([ROWS, 2]),)}, r"policy_state\['count'\] has dtype int32"),
        ({"count": tf.zeros([ROWS]), "sums": (tf.zeros([ROWS, 3]),)}, r"policy_state\['sums'\]\[0\] has shape \(6, 3\)"),
    ],
)
def test_a_state_that_does_not_match_is_refused(state: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        counting().action(steps(StepType.MID), state)


def test_a_state_is_refused_where_there_is_none() -> None:
    with pytest.raises(ValueError, match=r"policy_state is float32 \[6\]; the spec says an empty tuple"):
        QPolicy(SPEC, ACTION, q_model()).action(steps(), tf.zeros([ROWS]))


def test_a_network_that_gives_another_state_than_it_says_is_found_out() -> None:
    class Wrong(Counter):
        def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
            values, state = super().__call__(observation, step_type, network_state)
            return values, {"count": state["count"]}

    with pytest.raises(ValueError, match=r"policy_step.state\['sums'\]\[0\] is missing"):
        QPolicy(SPEC, ACTION, Wrong()).action(steps())


@pytest.mark.parametrize("call", ["action", "distribution", "get_initial_state", "update", "time_step_spec"])
def test_a_subclass_that_does_not_call_its_parent_is_told_so(call: str) -> None:
    class Careless(QPolicy):
        def __init__(self) -> None:
            pass

    calls = {
        "action": lambda policy: policy.action(steps()),
        "distribution": lambda policy: policy.distribution(steps()),
        "get_initial_state": lambda policy: policy.get_initial_state(1),
        "update": lambda policy: policy.update(QPolicy(SPEC, ACTION, q_model())),
        "time_step_spec": lambda policy: policy.time_step_spec,
    }
    with pytest.raises(RuntimeError, match=r"Careless.__init__ must call super\(\).__init__\(\)"):
        calls[call](Careless())


def test_it_is_checked_in_a_graph_too() -> None:
    policy = nested_policy()
    with pytest.raises(ValueError, match=r"observation\['image'\] has dtype float32; the spec says uint8"):
        tf.function(lambda step: policy.action(step).action)(nested(image=tf.zeros([ROWS, 2, 2])))


def test_what_cannot_be_a_tensor_is_named() -> None:
    with pytest.raises(TypeError, match=r"time_step.observation\['image'\]=.* must be a tensor"):
        nested_policy().action(nested(image=object()))
    with pytest.raises(TypeError, match="policy_state=None must be a tensor"):
        nested_policy().action(nested(), None)


class Shrinking(BasePolicy):
    """A subclass whose logits are for one action too few."""

    def _logits(self, time_step: TimeStep, policy_state: Any) -> Any:
        return tf.zeros([ROWS, ACTIONS - 1]), policy_state


@pytest.mark.parametrize("method", ["action", "distribution"])
def test_a_subclass_that_gives_the_wrong_number_of_logits_is_found_out(method: str) -> None:
    with pytest.raises(ValueError, match=r"logits has shape \(6, 2\); the spec says float32 \[B, 3\]"):
        getattr(Shrinking(SPEC, ACTION), method)(steps())


@pytest.mark.parametrize("step", [SPEC._replace(reward=1.0), SPEC._replace(observation={"x": (3,)}), steps()])
def test_a_time_step_spec_of_something_else_than_specs_is_refused(step: TimeStep) -> None:
    with pytest.raises(TypeError, match=r"time_step_spec\..*=.* must be a TensorSpec"):
        RandomPolicy(step, ACTION)


def test_a_state_spec_of_something_else_than_specs_is_refused() -> None:
    with pytest.raises(TypeError, match=r"policy_state_spec\[0\]=3 must be a TensorSpec"):
        BasePolicy(SPEC, ACTION, (3,))


def test_a_splitter_that_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="observation_and_action_constraint_splitter=3 must be a function"):
        categorical(observation_and_action_constraint_splitter=3)


def test_a_splitter_that_gives_no_pair_is_refused() -> None:
    policy = categorical(observation_and_action_constraint_splitter=lambda each: each)
    with pytest.raises(ValueError, match=r"splitter must return \(observation, mask\)"):
        policy.action(steps())


@pytest.mark.parametrize("shape", [[ACTIONS], [ROWS, ACTIONS + 1], [ROWS, ACTIONS, 1]])
def test_a_mask_of_another_shape_is_refused(shape: list[int]) -> None:
    with pytest.raises(ValueError, match=r"The mask has shape .*; action_spec asks for \[B, 3\]"):
        masked(np.ones(shape)).action(steps())


def test_a_mask_for_another_number_of_rows_is_an_error() -> None:
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        masked(np.ones([ROWS + 1, ACTIONS])).action(steps())


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (1.5, TypeError, "seed=1.5 must be an integer"),
        (True, TypeError, "seed=True must be an integer"),
        (tf.constant([1.0, 2.0]), TypeError, "seed=.* must be an integer"),
        (tf.constant([1, 2, 3]), ValueError, r"seed has shape \(3,\)"),
    ],
)
def test_a_seed_of_something_else_than_integers_is_refused(seed: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        categorical().action(steps(), seed=seed)


@pytest.mark.parametrize("seed", [7, -3, 2**31, 2**40 + 5])
def test_a_seed_may_be_a_scalar_tensor_and_is_the_same_as_the_int(seed: int) -> None:
    policy, step = categorical(temperature=10.0), steps(rows=100)
    drawn = policy.action(step, seed=seed).action
    for wrap in COMPILATIONS.values():
        act = wrap(lambda number: policy.action(step, seed=number).action)
        np.testing.assert_array_equal(act(tf.constant(seed, tf.int64)), drawn)
