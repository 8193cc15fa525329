"""`update` moves the variables of one policy towards those of another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from policy_testing import (
    ACTION,
    ACTIONS,
    COMPILATIONS,
    FEATURES,
    ROWS,
    SPEC,
    WRAPS,
    atoms_model,
    categorical,
    probabilities,
    q_model,
)

from polyrl import policies
from polyrl.policies import QPolicy, RandomPolicy


def pair() -> tuple[QPolicy, QPolicy]:
    own, other = (QPolicy(SPEC, ACTION, q_model(seed)) for seed in (0, 1))
    for index, variable in enumerate(other.variables):
        variable.assign(variable + float(index + 1))
    return own, other


@pytest.mark.default_cases(10)
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize(
    ("tau", "rest"), [(1.0, None), (0.0, None), (0.25, None), (0.25, 1.0), (0.0, 1.0), (1.0, 0.0), (0.5, 0.1)]
)
def test_an_update_moves_each_kind_of_variable_by_its_tau(wrap: Any, tau: float, rest: float | None) -> None:
    own, other = pair()
    before = [variable.numpy() for variable in own.variables]
    wrap(lambda: own.update(other, tau, rest))()
    assert {variable.trainable for variable in own.variables} == {True, False}
    for old, new, variable in zip(before, other.variables, own.variables, strict=True):
        share = tau if variable.trainable or rest is None else rest
        np.testing.assert_allclose(variable, (1 - share) * old + share * new.numpy(), rtol=1e-6)


def test_a_copy_is_exact_and_acts_the_same() -> None:
    own, other = pair()
    assert (probabilities(own) != probabilities(other)).any()
    own.update(other)
    for left, right in zip(own.variables, other.variables, strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(probabilities(own), probabilities(other))


def test_tau_may_be_a_tensor_computed_in_the_graph() -> None:
    own, other = pair()
    before = own.variables[0].numpy()
    tf.function(lambda tau: own.update(other, tau))(tf.constant(0.25))
    np.testing.assert_allclose(own.variables[0], 0.75 * before + 0.25 * other.variables[0].numpy(), rtol=1e-6)


class Pair(tf.Module):
    """Two variables whose order of creation is not that of their names."""

    def __init__(self, first: str, second: str):
        super().__init__()
        self.a = tf.Variable([1.0 if first == "x" else 2.0], name=first)
        self.b = tf.Variable([1.0 if second == "x" else 2.0], name=second)

    def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
        return tf.zeros([ROWS, ACTIONS]) + self.a + self.b, network_state


@pytest.mark.parametrize("by_name", [False, True])
def test_variables_are_paired_by_position_or_by_name(by_name: bool) -> None:
    own, other = Pair("x", "y"), Pair("y", "x")
    QPolicy(SPEC, ACTION, own).update(QPolicy(SPEC, ACTION, other), sort_variables_by_name=by_name)
    assert [own.a.numpy()[0], own.b.numpy()[0]] == ([1.0, 2.0] if by_name else [2.0, 1.0])


def test_variables_that_do_not_match_are_named() -> None:
    own, _ = pair()
    wide = tf_keras.Sequential([tf_keras.Input([FEATURES]), tf_keras.layers.Dense(ACTIONS)])
    with pytest.raises(ValueError, match=r"has 2 variables \['dense.*kernel.*this one 6"):
        own.update(QPolicy(SPEC, ACTION, wide))
    one, two = (
        QPolicy(SPEC, ACTION, tf_keras.Sequential([tf_keras.Input([size]), tf_keras.layers.Dense(ACTIONS)])) for size in (4, 5)
    )
    with pytest.raises(
        ValueError,
        match=r"kernel:0 of the other policy is float32 \(5, 3\), but its counterpart .* of this one is float32 \(4, 3\)",
    ):
        one.update(two)


@pytest.mark.parametrize("name", ["tau", "tau_non_trainable"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_tau_outside_zero_to_one_is_refused(name: str, value: float) -> None:
    own, other = pair()
    with pytest.raises(ValueError, match=f"{name}="):
        own.update(other, **{name: value})


def test_an_object_without_variables_is_refused() -> None:
    with pytest.raises(TypeError, match="has no variables"):
        pair()[0].update(3)


@pytest.mark.parametrize("wrap", COMPILATIONS.values(), ids=COMPILATIONS)
def test_an_update_returns_the_number_of_variables_after_assigning_them(wrap: Any) -> None:
    own, other = (categorical(atoms_model(seed)) for seed in (0, 1))

    def update_and_read() -> Any:
        count = own.update(other)
        if tf.inside_function():
            near = [count.op, *(tensor.op for tensor in count.op.inputs)]
            waits_for = {before.type for op in near for before in op.control_inputs}
            assert "AssignVariableOp" in waits_for
        with tf.control_dependencies([count]):
            return count, own.variables[0].read_value()

    count, value = wrap(update_and_read)()
    assert count.dtype == tf.int32
    assert count == len(own.variables) == 6
    np.testing.assert_array_equal(value, other.variables[0])


def test_a_tau_computed_in_the_graph_is_checked_there() -> None:
    own, other = pair()
    update = tf.function(lambda tau, rest: own.update(other, tau, rest))
    for taus, name in (((1.5, 0.5), "tau"), ((0.5, -0.5), "tau_non_trainable")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{name} must lie in \[0.0, 1.0\]"):
            update(*(tf.constant(tau) for tau in taus))


def test_layers_numbered_by_keras_are_paired_by_their_number() -> None:
    def network(first: int, scale: float) -> tf_keras.Model:
        layers = [
            tf_keras.layers.Dense(
                ACTIONS, name=f"dense_{first + index}", kernel_initializer=tf_keras.initializers.Constant(scale * (index + 1))
            )
            for index in range(2)
        ]
        return tf_keras.Sequential([tf_keras.Input([ACTIONS]), *layers])

    own, other = network(8, 1.0), network(9, 10.0)  # dense_8, dense_9; and dense_9, dense_10
    spec = policies.time_step_spec(tf.TensorSpec([ACTIONS], tf.float32))
    QPolicy(spec, ACTION, own).update(QPolicy(spec, ACTION, other), sort_variables_by_name=True)
    assert [layer.kernel.numpy()[0, 0] for layer in own.layers] == [10.0, 20.0]


def test_every_variable_that_does_not_match_is_named() -> None:
    def network(units: int) -> tf_keras.Model:
        return tf_keras.Sequential(
            [
                tf_keras.Input([FEATURES]),
                tf_keras.layers.Dense(units, name="hidden"),
                tf_keras.layers.Dense(ACTIONS, name="out"),
            ]
        )

    own, other = (QPolicy(SPEC, ACTION, network(units)) for units in (4, 5))
    message = r"hidden/kernel:0 .*\(4, 5\).*hidden/kernel:0 .*\(4, 4\); hidden/bias:0 .*; out/kernel:0 "
    before = [variable.numpy() for variable in own.variables]
    with pytest.raises(ValueError, match=message):
        own.update(other)
    for old, variable in zip(before, own.variables, strict=True):
        np.testing.assert_array_equal(variable, old)


def test_integers_are_copied_and_never_averaged() -> None:
    class Counting(tf.Module):
        def __init__(self, count: int):
            super().__init__()
            self.count = tf.Variable(count, trainable=False)

        def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
            return tf.zeros([ROWS, ACTIONS]), network_state

    own, other = Counting(1), Counting(5)
    QPolicy(SPEC, ACTION, own).update(QPolicy(SPEC, ACTION, other), 0.5, 0.0)
    assert own.count == 1
    with pytest.raises(ValueError, match=r"dtype int32 and cannot be averaged: its tau must be 0 or 1, got 0.5"):
        QPolicy(SPEC, ACTION, own).update(QPolicy(SPEC, ACTION, other), 0.5)
    QPolicy(SPEC, ACTION, own).update(QPolicy(SPEC, ACTION, other), 0.5, 1.0)
    assert own.count == 5


def test_a_frozen_network_keeps_the_kinds_of_its_variables() -> None:
    own, other = pair()
    own._q_network.trainable = False
    kinds = [variable.trainable for variable in own.variables]
    assert {variable.name for variable in own.trainable_variables} == {v.name for v in own.variables if v.trainable}
    assert len(own.trainable_variables) + len(own.non_trainable_variables) == len(kinds)
    before = [variable.numpy() for variable in own.variables]
    own.update(other, 0.5, 0.0)
    moved = [(variable.numpy() != old).any() for variable, old in zip(own.variables, before, strict=True)]
    assert moved == kinds


def test_a_policy_without_variables_has_nothing_to_update() -> None:
    assert RandomPolicy(SPEC, ACTION).update(RandomPolicy(SPEC, ACTION)) == 0


def test_a_network_that_is_not_a_module_has_an_attribute_variables() -> None:
    class Plain:
        def __init__(self, seed: int):
            self.model = q_model(seed)
            self.variables = self.model.variables

        def __call__(self, observation: Any, step_type: Any = None, network_state: Any = ()) -> Any:
            return self.model(observation), network_state

    own, other = QPolicy(SPEC, ACTION, Plain(0)), QPolicy(SPEC, ACTION, Plain(1))
    own.update(other)
    np.testing.assert_array_equal(probabilities(own), probabilities(other))


def test_the_other_may_be_any_object_with_variables() -> None:
    own, other = pair()
    own.update(other._q_network)
    np.testing.assert_array_equal(probabilities(own), probabilities(other))
