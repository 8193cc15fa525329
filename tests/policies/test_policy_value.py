"""From values to probabilities and actions: temperature, precision, and outputs that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from policy_testing import ACTIONS, ATOMS, MASK
from value_testing import BOTH, Table, make, masking, of_output, probabilities_of, q_of, random_output, softmax, steps_of

from polyrl.policies import BoundedTensorSpec, CategoricalQPolicy, PolicyStep, QPolicy

# Values and probabilities -----------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("temperature", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_probabilities_are_the_softmax_of_the_values_over_the_temperature(policy_class, temperature, seed) -> None:
    output = random_output(policy_class, seed=seed)
    probabilities = probabilities_of(of_output(policy_class, output, temperature=temperature), len(output))
    expected = softmax(q_of(policy_class, output) / temperature)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)


@BOTH
def test_the_default_temperature_is_one(policy_class) -> None:
    output = random_output(policy_class)
    policy = of_output(policy_class, output)
    assert policy.temperature == 1.0
    np.testing.assert_array_equal(
        probabilities_of(policy, 6), probabilities_of(of_output(policy_class, output, temperature=1.0), 6)
    )


@BOTH
# 1e-40 is among the subnormal numbers of float32, 1e-300 is zero there.
@pytest.mark.parametrize("temperature", [0.0, 1e-8, 1e-30, 1e-40, 1e-300])
def test_at_and_near_temperature_zero_the_action_is_the_argmax(policy_class, temperature) -> None:
    output = random_output(policy_class)
    policy = of_output(policy_class, output, temperature=temperature)
    best = q_of(policy_class, output).argmax(axis=1)
    np.testing.assert_array_equal(policy.action(steps_of(6), seed=0).action, best)
    np.testing.assert_array_equal(probabilities_of(policy, 6), np.eye(ACTIONS)[best])


@pytest.mark.parametrize("temperature", [0.0, 1e-8, 1.0])
def test_values_of_any_size_give_finite_probabilities(temperature) -> None:
    # 1e35 / 1e-8 is beyond float32.
    output = np.array([[1e35, -1e35, 0.0], [-1e35, -2e35, -1e35 - 1e30], [1e-30, 2e-30, -1e-30]])
    probabilities = probabilities_of(of_output(QPolicy, output, temperature=temperature), 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), np.ones(3), rtol=1e-6)


@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_distribution_is_a_categorical_over_the_actions(policy_class, temperature) -> None:
    policy = of_output(policy_class, random_output(policy_class), temperature=temperature)
    step = policy.distribution(steps_of(6))
    assert isinstance(step, PolicyStep)
    assert isinstance(step.action, tfp.distributions.Categorical)
    assert step.action.dtype == tf.int32
    assert step.action.batch_shape == (6,)
    assert step.action.sample(seed=1).shape == (6,)


@BOTH
def test_actions_come_as_often_as_they_are_probable(policy_class) -> None:
    rows = 20_000
    output = np.repeat(random_output(policy_class, rows=1), rows, axis=0)
    actions = of_output(policy_class, output).action(steps_of(rows), seed=0).action.numpy()
    probability = softmax(q_of(policy_class, output[:1]))[0]
    frequency = np.bincount(actions, minlength=ACTIONS) / rows
    sigma = np.sqrt(probability * (1 - probability) / rows)
    assert (abs(frequency - probability) < 5 * sigma).all()


@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_probabilities_are_the_same_eagerly_and_traced(policy_class, temperature) -> None:
    splitter = masking(MASK)
    policy = of_output(
        policy_class,
        random_output(policy_class),
        temperature=temperature,
        observation_and_action_constraint_splitter=splitter,
    )
    traced = tf.function(lambda step: policy.distribution(step).action.probs_parameter())
    np.testing.assert_allclose(traced(steps_of(6)), probabilities_of(policy, 6), rtol=1e-6)


@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [tf.int8, tf.uint8, tf.int32, tf.int64], ids=lambda dtype: dtype.name)
def test_actions_have_the_dtype_of_the_spec(policy_class, dtype, temperature) -> None:
    spec = BoundedTensorSpec((), dtype, 0, ACTIONS - 1)
    policy = of_output(policy_class, random_output(policy_class), action_spec=spec, temperature=temperature)
    assert policy.action(steps_of(6), seed=0).action.dtype == dtype
    assert policy.distribution(steps_of(6)).action.dtype == dtype


@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1e-8, 1.0])
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64], ids=lambda dtype: dtype.name)
def test_a_network_of_another_precision_is_accepted(policy_class, dtype, temperature) -> None:
    output = np.round(random_output(policy_class), 1)
    network = Table(output, ATOMS)
    network.output = tf.constant(output, dtype)
    q = q_of(policy_class, network.output.numpy().astype(np.float64))
    policy = make(policy_class, network, temperature=temperature)
    probabilities = policy.distribution(steps_of(6)).action.probs_parameter().numpy().astype(np.float64)
    expected = softmax(q / temperature) if temperature == 1.0 else np.eye(ACTIONS)[q.argmax(axis=1)]
    np.testing.assert_allclose(probabilities, expected, atol=0.01)  # bfloat16 has 8 bits
    if temperature < 1.0:
        np.testing.assert_array_equal(policy.action(steps_of(6), seed=0).action, q.argmax(axis=1))


# What is refused --------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("method", ["action", "distribution"])
@pytest.mark.parametrize(
    "change", [lambda output: output[:, :-1], lambda output: output[..., np.newaxis]], ids=["few", "rank"]
)
def test_an_output_of_another_shape_is_refused(policy_class: type, method: str, change: Any) -> None:
    output = change(random_output(policy_class))
    shape = ", ".join(str(size) for size in output.shape)
    with pytest.raises(ValueError, match=rf"q_network gives .* of shape \({shape}\), expected \[B, 3.*by action_spec"):
        getattr(of_output(policy_class, output), method)(steps_of(6))


@BOTH
@pytest.mark.parametrize(
    "action_spec",
    [BoundedTensorSpec((1,), tf.int32, 0, 2), BoundedTensorSpec((), tf.float32, 0, 2), BoundedTensorSpec((), tf.int32, 1, 3)],
    ids=["vector", "float", "from_one"],
)
def test_an_action_that_is_not_one_integer_from_zero_is_refused(policy_class, action_spec) -> None:
    with pytest.raises(ValueError, match=r"action_spec=.* must be one integer"):
        of_output(policy_class, random_output(policy_class), action_spec=action_spec)


@BOTH
@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_a_temperature_that_is_negative_or_not_finite_is_refused(policy_class, temperature) -> None:
    with pytest.raises(ValueError, match="temperature="):
        of_output(policy_class, random_output(policy_class), temperature=temperature)


def test_a_temperature_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(TypeError, match="temperature='warm'"):
        of_output(CategoricalQPolicy, random_output(CategoricalQPolicy), temperature="warm")
