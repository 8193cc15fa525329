"""Masks of legal actions: illegal actions have no probability, and masks that do not fit are refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import ACTIONS, ATOMS, MASK, ROWS, categorical, masked, steps
from value_testing import BOTH, Table, make, masking, of_output, probabilities_of, q_of, random_output, softmax, steps_of

from polyrl.policies import BoundedTensorSpec, QPolicy, TimeStep


@BOTH
# The lowest float32, -3.4e38, is not low any more after division by 1e38.
@pytest.mark.parametrize("temperature", [0.0, 1e-8, 1.0, 1e38])
@pytest.mark.parametrize("dtype", [np.int32, np.bool_, np.float32])
def test_illegal_actions_have_no_probability_and_the_legal_ones_share_it(policy_class, temperature, dtype) -> None:
    output = random_output(policy_class)
    splitter = masking(MASK.astype(dtype))
    policy = of_output(policy_class, output, temperature=temperature, observation_and_action_constraint_splitter=splitter)
    q = np.where(MASK, q_of(policy_class, output), -np.inf)
    probabilities = probabilities_of(policy, 6)
    assert (probabilities[MASK == 0] == 0.0).all()  # exactly
    expected = np.eye(ACTIONS)[q.argmax(axis=1)] if temperature == 0.0 else softmax(q / temperature)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)


@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1.0, 1e38])
def test_illegal_actions_are_never_drawn(policy_class, temperature) -> None:
    mask = np.tile(MASK, [500, 1])
    # The illegal actions have the highest values.
    output = 10.0 * (1 - mask) if policy_class is QPolicy else 10.0 * (1 - mask)[..., np.newaxis] * np.arange(ATOMS)
    assert (q_of(policy_class, output)[mask == 0].min() > q_of(policy_class, output)[mask == 1]).all()
    policy = of_output(policy_class, output, temperature=temperature, observation_and_action_constraint_splitter=masking(mask))
    actions = policy.action(steps_of(len(mask)), seed=0).action.numpy()
    assert (mask[np.arange(len(mask)), actions] == 1).all()


@pytest.mark.parametrize("low", [-3e38, -1.0])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_legal_actions_of_very_low_value_are_preferred_to_illegal_ones(low, temperature) -> None:
    policy = of_output(
        QPolicy,
        [[low, 5.0]],
        temperature=temperature,
        observation_and_action_constraint_splitter=masking(np.array([[1, 0]])),
        action_spec=BoundedTensorSpec((), tf.int32, 0, 1),
    )
    assert policy.action(steps_of(1)).action.numpy().tolist() == [0]
    assert probabilities_of(policy, 1).tolist() == [[1.0, 0.0]]


@pytest.mark.default_cases(15)
@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("wrap", [lambda function: function, tf.function], ids=["eager", "function"])
@pytest.mark.parametrize("method", ["action", "distribution"])
def test_a_row_without_a_legal_action_is_an_error(policy_class, temperature, wrap, method) -> None:
    mask = MASK.copy()
    mask[3] = 0
    policy = of_output(
        policy_class,
        random_output(policy_class),
        temperature=temperature,
        observation_and_action_constraint_splitter=masking(mask),
    )

    def run(step):
        if method == "action":
            return policy.action(step, seed=0).action
        return policy.distribution(step).action.probs_parameter()

    with pytest.raises(tf.errors.InvalidArgumentError, match="leaves a row without any legal action"):
        wrap(run)(steps_of(6))


@BOTH
def test_the_network_sees_only_what_the_splitter_leaves_of_the_observation(policy_class) -> None:
    network = Table(random_output(policy_class), ATOMS)
    observation = {"seen": tf.ones([6, 2]), "mask": tf.constant(MASK)}
    policy = make(
        policy_class,
        network,
        observation_and_action_constraint_splitter=lambda each: (each["seen"], each["mask"]),
        validate_args=False,
    )
    policy.action(TimeStep.restart(observation, 6), seed=0)
    assert network.calls[0][0] is observation["seen"]


def test_a_splitter_that_is_not_a_function_is_refused() -> None:
    with pytest.raises(TypeError, match="observation_and_action_constraint_splitter=3 must be a function"):
        categorical(observation_and_action_constraint_splitter=3)


def test_a_splitter_that_does_not_return_a_pair_is_refused() -> None:
    policy = categorical(observation_and_action_constraint_splitter=lambda each: each)
    with pytest.raises(ValueError, match=r"splitter must return \(observation, mask\), got"):
        policy.action(steps())


@pytest.mark.parametrize("shape", [[ACTIONS], [ROWS, ACTIONS + 1], [ROWS, ACTIONS, 1]])
def test_a_mask_of_another_shape_is_refused(shape: list[int]) -> None:
    with pytest.raises(ValueError, match=r"The mask has shape .*, expected \[B, 3\] by action_spec"):
        masked(np.ones(shape)).action(steps())


def test_a_mask_for_another_number_of_rows_is_an_error() -> None:
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        masked(np.ones([ROWS + 1, ACTIONS])).action(steps())
