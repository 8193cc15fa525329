"""What a policy's network may read, take and return."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from policy_testing import ACTION, ACTIONS, COMPILATIONS, FEATURES, ROWS, SPEC, q_model, steps

from polyrl.policies import QPolicy


class ReadsAnother(tf.Module):
    """Has a variable, and reads one that is not its own."""

    def __init__(self, table):
        super().__init__()
        self.own = tf.Variable(1.0, name="own")
        self._read = lambda: table

    def __call__(self, observation, step_type=None, network_state=()):
        return self.own * observation @ self._read(), network_state


def reading(read):
    return lambda observation, step_type=None, network_state=(): (read(observation), network_state)


def foreign_networks():
    table = tf.Variable(tf.ones([FEATURES, ACTIONS]), name="table")
    model, keras3 = q_model(), tf.keras.layers.Dense(ACTIONS, name="head")
    return {
        "variable": (reading(lambda observation: observation @ table), rf"table \({FEATURES}, {ACTIONS}\) float32"),
        "module": (ReadsAnother(table), "table"),
        "model": (reading(model), r"kernel .*q_network\.variables = model\.variables"),
        "keras3": (reading(keras3), r"kernel .*import tf_keras as keras"),
    }


@pytest.mark.parametrize("wrap", [COMPILATIONS["eager"], COMPILATIONS["function"]], ids=["eager", "function"])
@pytest.mark.parametrize("name", ["variable", "module", "model", "keras3"])
def test_variables_that_the_policy_would_not_have_are_refused(name, wrap) -> None:
    network, named = foreign_networks()[name]
    policy = QPolicy(SPEC, ACTION, network)
    if name == "keras3":
        network(tf.zeros([1, FEATURES]))  # A function may not create variables at a later call.
    with pytest.raises(ValueError, match=rf"(?s)q_network reads variables that the policy would not have: .*{named}"):
        wrap(policy.action)(steps())


def test_a_function_with_variables_is_updated() -> None:
    models = [q_model(seed) for seed in (0, 1)]
    networks = [reading(model) for model in models]
    for network, model in zip(networks, models, strict=True):
        network.variables = model.variables
    own, other = (QPolicy(SPEC, ACTION, network) for network in networks)
    own.update(other)
    np.testing.assert_array_equal(own.action(steps(), seed=3).action, other.action(steps(), seed=3).action)
    np.testing.assert_array_equal(models[0].variables[0], models[1].variables[0])


def test_a_table_that_is_not_trained_may_be_read() -> None:
    table = tf.Variable(tf.eye(FEATURES, ACTIONS), trainable=False)
    step = steps()
    values = QPolicy(SPEC, ACTION, reading(lambda observation: observation @ table), temperature=0.0).action(step).action
    np.testing.assert_array_equal(values, np.argmax(step.observation @ np.eye(FEATURES, ACTIONS), axis=1))


@pytest.mark.parametrize("network", [lambda observation: observation, lambda x, y, z: (x, z)])
def test_a_network_that_takes_other_arguments_is_refused(network) -> None:
    with pytest.raises(TypeError, match=r"called as q_network\(observation, step_type=, network_state=\).*its arguments are"):
        QPolicy(SPEC, ACTION, network).action(steps())


@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist, tf.constant], ids=["array", "list", "tensor"])
def test_an_output_in_numpy_is_a_tensor(kind) -> None:
    output = kind(np.arange(float(ROWS * ACTIONS)).reshape(ROWS, ACTIONS))
    network = lambda observation, step_type=None, network_state=(): (output, network_state)  # noqa: E731
    found = QPolicy(SPEC, ACTION, network, temperature=0.0).action(steps()).action
    np.testing.assert_array_equal(found, np.full(ROWS, ACTIONS - 1))


@pytest.mark.parametrize(
    ("output", "error", "words"),
    [
        (
            np.zeros([1, ACTIONS]),
            ValueError,
            rf"the shape \(1, {ACTIONS}\) for {ROWS} observations, not a row for each",
        ),
        (tf.zeros([]), ValueError, r"the shape \(\) for"),
        (tf.zeros([ROWS, ACTIONS], tf.complex64), TypeError, "gives complex64, expected real numbers"),
        (tf.zeros([ROWS, ACTIONS], tf.bool), TypeError, "gives bool, expected real numbers"),
        (None, TypeError, "gives None, expected a tensor of numbers"),
        ("text", TypeError, "gives string, expected real numbers"),
        ([[1.0], [1.0, 2.0]], TypeError, "expected a tensor of numbers"),
    ],
)
def test_another_output_is_refused_by_name(output, error, words) -> None:
    network = lambda observation, step_type=None, network_state=(): (output, network_state)  # noqa: E731
    with pytest.raises(error, match=words):
        QPolicy(SPEC, ACTION, network).action(steps())
