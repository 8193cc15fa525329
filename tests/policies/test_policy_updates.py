"""One policy's variables moved towards another's."""

from __future__ import annotations

from typing import Any

from polyrl.policies import QPolicy

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from policy_testing import ACTION, ACTIONS, FEATURES, ROWS, SPEC, WRAPS, probabilities, q_model


def pair() -> tuple[QPolicy, QPolicy]:
    own, other = (QPolicy(SPEC, ACTION, q_model(seed)) for seed in (0, 1))
    for index, variable in enumerate(other.variables):
        variable.assign(variable + float(index + 1))
    return own, other


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


def test_a_copy_is_exact_and_acts_alike() -> None:
    own, other = pair()
    assert (probabilities(own) != probabilities(other)).any()
    own.update(other)
    for left, right in zip(own.variables, other.variables, strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(probabilities(own), probabilities(other))


def test_tau_may_be_a_tensor_known_only_in_the_graph() -> None:
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
def test_variables_pair_by_position_or_by_name(by_name: bool) -> None:
    own, other = Pair("x", "y"), Pair("y", "x")
    QPolicy(SPEC, ACTION, own).update(QPolicy(SPEC, ACTION, other), sort_variables_by_name=by_name)
    assert [own.a.numpy()[0], own.b.numpy()[0]] == ([1.0, 2.0] if by_name else [2.0, 1.0])


def test_variables_that_do_not_pair_are_named() -> None:
    own, _ = pair()
    wide = tf_keras.Sequential([tf_keras.Input([FEATURES]), tf_keras.layers.Dense(ACTIONS)])
    with pytest.raises(ValueError, match=r"has 2 variables \['dense.*kernel.*this one 6"):
        own.update(QPolicy(SPEC, ACTION, wide))
    one, two = (
        QPolicy(SPEC, ACTION, tf_keras.Sequential([tf_keras.Input([size]), tf_keras.layers.Dense(ACTIONS)])) for size in (4, 5)
    )
    with pytest.raises(
        ValueError, match=r"kernel:0 of the other policy is float32 \(5, 3\), its counterpart here .* \(4, 3\)"
    ):
        one.update(two)


@pytest.mark.parametrize("name", ["tau", "tau_non_trainable"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_tau_outside_of_zero_to_one_is_refused(name: str, value: float) -> None:
    own, other = pair()
    with pytest.raises(ValueError, match=f"{name}="):
        own.update(other, **{name: value})


def test_what_has_no_variables_is_refused() -> None:
    with pytest.raises(TypeError, match="has no variables"):
        pair()[0].update(3)
