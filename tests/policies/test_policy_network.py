"""What a policy's network may be: a tf-keras model, a function, or a `tf.Module`, with and without a state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from policy_testing import (
    ACTION,
    ACTIONS,
    ATOMS,
    COMPILATIONS,
    FEATURES,
    ROWS,
    SPEC,
    Halving,
    atoms_model,
    categorical,
    halves,
    naf,
    naf_model,
    q_model,
    steps,
)
from value_testing import BOTH, Table, make, probabilities_of, q_of, random_output, softmax, steps_of

from polyrl.policies import QPolicy, StepType


def linear(policy_class: type) -> tf_keras.Model:
    """A plain tf-keras model of one layer."""
    shape = [ACTIONS] if policy_class is QPolicy else [ACTIONS, ATOMS]
    layers = [tf_keras.layers.Dense(np.prod(shape), use_bias=False), tf_keras.layers.Reshape(shape)]
    model = tf_keras.Sequential([tf_keras.Input([FEATURES]), *layers])
    model.num_atoms = ATOMS
    return model


@BOTH
def test_a_plain_keras_model_is_called_with_the_observation(policy_class) -> None:
    model = linear(policy_class)
    step = steps_of(6)
    output = (step.observation.numpy() @ model.weights[0].numpy()).reshape(6, *model.output_shape[1:])
    expected = softmax(q_of(policy_class, output))
    np.testing.assert_allclose(probabilities_of(make(policy_class, model), 6), expected, rtol=1e-4)


@BOTH
def test_a_policy_acts_by_the_current_weights_of_its_model(policy_class) -> None:
    model = linear(policy_class)
    policy = make(policy_class, model)
    traced = tf.function(lambda step: policy.distribution(step).action.probs_parameter())
    before = traced(steps_of(6)).numpy()
    model.set_weights([-2.0 * weight for weight in model.get_weights()])
    after = traced(steps_of(6)).numpy()
    assert (abs(after - before) > 1e-4).any()
    np.testing.assert_allclose(after, probabilities_of(policy, 6), rtol=1e-5)


@BOTH
def test_a_function_gets_step_type_and_state_and_its_state_is_returned(policy_class) -> None:
    output = tf.constant(random_output(policy_class), tf.float32)

    def network(observation, step_type=None, network_state=()):
        assert step_type is not None
        return output, network_state + 1

    network.num_atoms = ATOMS
    network.state_spec = tf.TensorSpec([], tf.int32)
    policy = make(policy_class, network)
    step = steps_of(6)._replace(step_type=tf.fill([6], StepType.MID))
    state = tf.range(6)
    np.testing.assert_array_equal(policy.action(step, policy_state=state, seed=0).state, state + 1)
    np.testing.assert_array_equal(policy.distribution(step, policy_state=state).state, state + 1)
    np.testing.assert_array_equal(make(policy_class, network, temperature=0.0).action(step, state).state, state + 1)


@BOTH
def test_a_callable_gets_the_observation_and_the_step_type_of_the_time_step(policy_class) -> None:
    network = Table(random_output(policy_class), ATOMS)
    step = steps_of(6)
    make(policy_class, network).action(step, seed=0)
    (call,) = network.calls
    assert call[0] is step.observation
    assert call[1] is step.step_type
    assert call[2] == ()


# Modules ----------------------------------------------------------------------------------------------------------------


def halved(model: Any) -> Any:
    """A function that gives what `Halving(model)` gives, without a state."""
    function = lambda observation, step_type, network_state: (halves(model(observation)), network_state)  # noqa: E731
    function.num_atoms, function.variables = ATOMS, model.variables
    return function


KINDS = {
    "q": (q_model, lambda network: QPolicy(SPEC, ACTION, network, temperature=0.1)),
    "categorical": (atoms_model, lambda network: categorical(network, temperature=0.01)),
    "naf": (naf_model, lambda network: naf(network, temperature=0.1)),
}


@pytest.mark.default_cases(5)
@pytest.mark.parametrize("wrap", COMPILATIONS.values(), ids=COMPILATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_module_is_called_with_its_state(kind: str, wrap: Any) -> None:
    build, make_policy = KINDS[kind]
    model = build()
    policy, expected = make_policy(Halving(model)), make_policy(halved(model))
    assert policy.policy_state_spec == {"steps": [tf.TensorSpec([], tf.int32)]}
    assert type(policy.policy_state_spec["steps"]) is list
    step = steps()._replace(step_type=tf.constant([0, 1, 2, 0, 1, 1]))
    state = {"steps": [tf.fill([ROWS], 7)]}
    result = wrap(lambda step, state: policy.action(step, state, seed=3)[:2])(step, state)
    np.testing.assert_allclose(result[0], expected.action(step, seed=3).action, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(result[1]["steps"][0], [1, 8, 8, 1, 8, 8])


@pytest.mark.parametrize("kind", KINDS)
def test_the_variables_of_a_module_are_the_policys_and_can_be_updated(kind: str) -> None:
    build, make_policy = KINDS[kind]
    networks = [Halving(build(seed)) for seed in (0, 1)]
    networks[1].factor.assign(0.25)
    own, other = (make_policy(network) for network in networks)
    assert {v.ref() for v in own.variables} == {networks[0].factor.ref(), *(v.ref() for v in networks[0].model.variables)}
    assert {v.ref() for v in own.trainable_variables} == {v.ref() for v in networks[0].model.trainable_variables}
    step = steps(rows=300)
    expected = other.action(step, seed=3).action
    assert (own.action(step, seed=3).action.numpy() != expected.numpy()).any()
    assert own.update(other, 0.5, 0.0) == len(networks[0].model.variables) + 1
    assert networks[0].factor == 0.5
    own.update(other)
    assert networks[0].factor == 0.25
    np.testing.assert_array_equal(own.action(step, seed=3).action, expected)


def test_a_module_that_has_not_built_its_variables_cannot_be_updated() -> None:
    class Lazy(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = tf_keras.layers.Dense(ACTIONS)

        def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> tuple[Any, Any]:
            return self.head(observation), network_state

    own, other = (QPolicy(SPEC, ACTION, Lazy()) for _ in range(2))
    other.action(steps())
    with pytest.raises(ValueError, match=r"has 2 variables .* this one 0 \[\]\. A network that builds .* at its first call"):
        own.update(other)
    own.action(steps())
    own.update(other)
    np.testing.assert_array_equal(own.action(steps(), seed=3).action, other.action(steps(), seed=3).action)


# What is refused --------------------------------------------------------------------------------------------------------


def test_a_network_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="q_network=3 must be callable"):
        QPolicy(SPEC, ACTION, 3)


def test_a_keras_model_whose_call_takes_no_state_may_not_declare_one() -> None:
    model = atoms_model()
    model.state_spec = tf.TensorSpec([2], tf.float32)
    with pytest.raises(ValueError, match="has a state_spec, but its call has no argument network_state"):
        categorical(model)


def test_a_network_that_returns_no_state_is_refused_with_what_to_return() -> None:
    with pytest.raises(ValueError, match=r"q_network must return \(output, network_state\), got"):
        QPolicy(SPEC, ACTION, lambda observation, step_type, network_state: tf.zeros([ROWS, ACTIONS])).action(steps())


class HoldsKeras3(tf.Module):
    def __init__(self):
        super().__init__()
        self.layers = {"head": [tf.keras.layers.Dense(ACTIONS)]}

    def __call__(self, observation, step_type=None, network_state=()):
        return self.layers["head"][0](observation), network_state


class LayerHoldsKeras3(tf_keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.head = tf.keras.layers.Dense(ACTIONS)

    def call(self, observation):
        return self.head(observation)


KERAS3 = {
    "model": (lambda: tf.keras.Sequential([tf.keras.layers.Dense(ACTIONS)]), "q_network="),
    "layer": (lambda: tf.keras.layers.Dense(ACTIONS), "q_network="),
    "in a module": (HoldsKeras3, r"q_network\.layers\['head'\]\[0\]="),
    "in a layer": (LayerHoldsKeras3, r"q_network\.head="),
    "in a model": (lambda: tf_keras.Sequential([tf_keras.Input([FEATURES]), LayerHoldsKeras3()]), "q_network: a layer in it="),
}


@BOTH
@pytest.mark.parametrize("name", KERAS3)
def test_a_network_of_keras_3_is_refused_with_what_to_import(policy_class, name) -> None:
    network, path = KERAS3[name]
    with pytest.raises(TypeError, match=rf"(?s){path}.*Keras 3.*import tf_keras as keras.*TF_USE_LEGACY_KERAS=1"):
        make(policy_class, network())
