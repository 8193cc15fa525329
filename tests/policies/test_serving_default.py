"""The function that servers call: its names, and its numbers beside those computed from the network's output by NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import (
    ACTION,
    ACTIONS,
    ATOMS,
    FEATURES,
    HIGH,
    LOW,
    MASK,
    ROWS,
    SPEC,
    Logits,
    atoms_model,
    categorical,
    counting,
    naf,
    naf_model,
    nested_policy,
    q_model,
    steps,
)

from polyrl import policies
from polyrl.policies import CategoricalQPolicy, EpsilonGreedyPolicy, GreedyPolicy, QPolicy, QuantileQPolicy
from polyrl.policies.export import serving_default

OBSERVATION = steps().observation.numpy()
MASKED_SPEC = policies.time_step_spec(
    {"seen": tf.TensorSpec([FEATURES], tf.float32), "mask": tf.TensorSpec([ACTIONS], tf.int32)}
)


def masked_c51(temperature: float = 1.0) -> CategoricalQPolicy:
    def splitter(observation: Any) -> Any:
        return observation["seen"], observation["mask"]

    return CategoricalQPolicy(MASKED_SPEC, ACTION, atoms_model(), -2.0, 2.0, splitter, temperature)


def served(policy: Any, *given: Any, **named: Any) -> dict[str, np.ndarray]:
    """The outputs by name; an observation that has no name is given as such."""
    named |= dict(zip(["observation"], given, strict=False))
    function = serving_default(policy)
    names = [spec.name for spec in function.structured_input_signature[0]]
    assert sorted(names) == sorted(named)
    return {name: value.numpy() for name, value in function(*(tf.constant(named[name]) for name in names)).items()}


def test_action_values_and_the_best_of_them() -> None:
    network = q_model()
    found = served(QPolicy(SPEC, ACTION, network, temperature=3.0), OBSERVATION)
    values = network(OBSERVATION).numpy()
    assert sorted(found) == ["action", "q"]
    np.testing.assert_allclose(found["q"], values, rtol=1e-6)
    np.testing.assert_array_equal(found["action"], values.argmax(axis=1))
    assert len(set(found["action"].tolist())) > 1
    assert found["action"].dtype == np.int32


@pytest.mark.parametrize("temperature", [0.0, 50.0])
def test_a_categorical_policy_tells_the_distribution_of_the_return(temperature: float) -> None:
    network = atoms_model()
    found = served(categorical(network, temperature=temperature), OBSERVATION)
    exponential = np.exp(network(OBSERVATION).numpy())
    probabilities = exponential / exponential.sum(axis=2, keepdims=True)
    q = probabilities @ np.linspace(-2.0, 2.0, ATOMS)
    assert sorted(found) == ["action", "probabilities", "q", "support"]
    np.testing.assert_allclose(found["probabilities"], probabilities, rtol=1e-5)
    np.testing.assert_array_equal(found["support"], np.tile(np.linspace(-2.0, 2.0, ATOMS, dtype=np.float32), [ROWS, 1]))
    np.testing.assert_allclose(found["q"], q, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found["action"], q.argmax(axis=1))


def test_a_quantile_policy_tells_the_quantiles_in_order() -> None:
    network = atoms_model()
    found = served(QuantileQPolicy(SPEC, ACTION, network, risk_level=0.4), OBSERVATION)
    quantiles = np.sort(network(OBSERVATION).numpy(), axis=2)
    assert sorted(found) == ["action", "q", "quantiles"]
    np.testing.assert_allclose(found["quantiles"], quantiles, rtol=1e-6)
    np.testing.assert_allclose(found["q"], quantiles[:, :, :2].mean(axis=2), rtol=1e-5)  # The worst two of five.
    np.testing.assert_array_equal(found["action"], found["q"].argmax(axis=1))


def test_masks_rule_the_action_and_leave_the_values() -> None:
    policy = masked_c51(temperature=9.0)
    found = served(policy, seen=OBSERVATION, mask=MASK.astype(np.int32))
    free = served(policy, seen=OBSERVATION, mask=np.ones_like(MASK, np.int32))
    np.testing.assert_array_equal(found["q"], free["q"])
    np.testing.assert_array_equal(found["action"], np.where(MASK, found["q"], -np.inf).argmax(axis=1))
    assert (found["action"] != free["action"]).any()
    with pytest.raises(tf.errors.InvalidArgumentError, match="leaves a row without any legal action"):
        served(policy, seen=OBSERVATION, mask=np.zeros_like(MASK, np.int32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have as many rows each, got"):
        served(policy, seen=OBSERVATION, mask=np.ones([1, ACTIONS], np.int32))


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_continuous_actions_are_the_mean_with_their_value_if_the_network_gives_it(temperature: float) -> None:
    network = naf_model()
    assert sorted(served(naf(network, temperature=temperature), OBSERVATION)) == ["action"]

    class Valued(tf.Module):
        variables = network.variables

        def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
            return (*network(observation), observation[:, 0]), network_state

    found = served(naf(Valued(), temperature=temperature), OBSERVATION)
    mean, (low, high) = network(OBSERVATION)[0].numpy(), (np.array(LOW), np.array(HIGH))
    np.testing.assert_allclose(found["action"], low + (mean + 1.0) * 0.5 * (high - low), rtol=1e-5)
    np.testing.assert_array_equal(found["q"], OBSERVATION[:, 0])


def test_a_recurrent_policy_takes_its_state_as_it_is_and_gives_the_next() -> None:
    count, sums = np.array([0, 1, 2, 0, 1, 1], np.float32), np.ones([ROWS, 2], np.float32)
    found = served(counting(), OBSERVATION, policy_state_count=count, policy_state_sums_0=sums)
    np.testing.assert_array_equal(found["policy_state_count"], count + 1)
    np.testing.assert_allclose(found["policy_state_sums_0"], sums + OBSERVATION[:, :2], rtol=1e-6)
    np.testing.assert_array_equal(found["action"], np.minimum(count + 1, ACTIONS - 1))


def test_names_are_those_of_the_leaves() -> None:
    observation = {"image": np.zeros([2, 2, 2], np.uint8), "place_0": np.zeros([2, 3], np.float32)}
    assert served(nested_policy(), **observation)["action"].shape == (2,)
    leaf = tf.TensorSpec([], tf.float32)
    spec = policies.time_step_spec({"a": {"b": leaf}, "a_b": leaf})
    policy = CategoricalQPolicy(spec, ACTION, Logits(np.zeros((ACTIONS, ATOMS))), -1.0, 1.0)
    with pytest.raises(ValueError, match="would have the same name"):
        serving_default(policy)


def test_a_wrapper_tells_the_most_probable_action() -> None:
    inner = QPolicy(SPEC, ACTION, q_model(), temperature=40.0)
    expected = served(inner, OBSERVATION)["action"]
    for policy in (GreedyPolicy(inner), EpsilonGreedyPolicy(inner, 0.9)):
        found = served(policy, OBSERVATION)
        assert sorted(found) == ["action"]
        np.testing.assert_array_equal(found["action"], expected)
