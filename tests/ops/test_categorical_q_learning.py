"""The loss of C51 against trfl, a loop over rows and examples by hand: values, gradients and shapes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import trfl
from categorical_testing import SUPPORTS, atoms_of, projection_loop, softmax
from ops_testing import MODES, SEEDS, assert_same_as_eager, finite_difference, gradients, transitions

from polyrl import ops


def categorical_loop(atoms: np.ndarray, data, selector: tf.Tensor | None) -> ops.LossOutput:
    """Algorithm 1 row by row, in float64."""
    data, rows = data.numpy(), []
    for row in range(len(data.reward)):
        next_probabilities = softmax(data.next_q[row].astype(np.float64))
        scores = [float(p @ atoms) for p in next_probabilities] if selector is None else list(selector[row].numpy())
        next_action = scores.index(max(scores))
        positions = np.array([[data.reward[row] + data.discount[row] * atom for atom in atoms]])
        target = projection_loop(positions, next_probabilities[next_action : next_action + 1], atoms)[0]
        predicted = softmax(data.q[row, data.action[row]].astype(np.float64))
        loss = -sum(t * np.log(p) for t, p in zip(target, predicted, strict=True))
        rows.append((loss, target @ atoms, target @ atoms - predicted @ atoms, predicted @ atoms))
    return ops.LossOutput(*np.array(rows).T)


def target_of(logits: tf.Tensor, action: tf.Tensor, gradient: tf.Tensor) -> np.ndarray:
    """The target distribution, recovered from the gradient of the cross-entropy, `softmax - target`."""
    rows = np.arange(len(action))
    return softmax(logits.numpy())[rows, action] - gradient.numpy()[rows, action]


class Hand:
    """One row, two actions, atoms -1, 0, 1. The online logits of action 1 are uniform."""

    atoms = tf.constant([-1.0, 0.0, 1.0])
    logits = tf.constant([[[5.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    action = tf.constant([1])
    reward = tf.constant([0.25])
    discount = tf.constant([0.5])
    next_logits = tf.math.log([[[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]]])  # means 0.3 and -0.4


def test_categorical_q_learning_by_hand() -> None:
    arguments = Hand.atoms, Hand.logits, Hand.action, Hand.reward, Hand.discount, Hand.next_logits
    output = ops.categorical_q_learning(*arguments)
    # The next action is 0. The atoms move to 0.25 + 0.5 z = -0.25, 0.25, 0.75. Their projection is (0.05, 0.5, 0.45), as in
    # test_projection_by_hand of test_categorical.py: mean 0.4 = 0.25 + 0.5 * 0.3. The prediction is uniform: its mean is 0,
    # and the cross-entropy of any target against it is log 3.
    np.testing.assert_allclose(output.loss, [np.log(3)], rtol=1e-6)
    np.testing.assert_allclose(output.target, [0.4], rtol=1e-5)
    np.testing.assert_allclose(output.prediction, [0.0], atol=1e-6)
    np.testing.assert_allclose(output.td_error, [0.4], rtol=1e-5)
    (gradient,) = gradients(lambda logits: ops.categorical_q_learning(Hand.atoms, logits, *arguments[2:]).loss, Hand.logits)
    target = target_of(Hand.logits, Hand.action, gradient)
    np.testing.assert_allclose(target, [[0.05, 0.5, 0.45]], rtol=1e-5)


def test_double_categorical_q_learning_by_hand() -> None:
    arguments = Hand.action, Hand.reward, Hand.discount, Hand.next_logits, tf.constant([[1.0, 2.0]])
    output = ops.categorical_q_learning(Hand.atoms, Hand.logits, *arguments)
    # The selector prefers action 1, of (0.6, 0.2, 0.2) at -0.25, 0.25, 0.75:
    #   -1: 0.6 / 4 = 0.15;  0: 0.6 * 3/4 + 0.2 * 3/4 + 0.2 / 4 = 0.65;  1: 0.2 / 4 + 0.2 * 3/4 = 0.2.
    # Mean 0.05 = 0.25 + 0.5 * -0.4.
    np.testing.assert_allclose(output.target, [0.05], rtol=1e-4)
    (gradient,) = gradients(lambda logits: ops.categorical_q_learning(Hand.atoms, logits, *arguments).loss, Hand.logits)
    target = target_of(Hand.logits, Hand.action, gradient)
    np.testing.assert_allclose(target, [[0.15, 0.65, 0.2]], rtol=1e-5)


@pytest.mark.parametrize("name", SUPPORTS)
@pytest.mark.parametrize("double", [False, True], ids=["single", "double"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_loss_equals_trfl_and_a_loop_over_rows(seed, double, name) -> None:
    data = transitions(seed, num_atoms=SUPPORTS[name][2])
    atoms = ops.support(*SUPPORTS[name])
    *tensors, selector = data
    if double:
        output = ops.categorical_q_learning(atoms, *tensors, selector)
        theirs = trfl.categorical_dist_double_qlearning(atoms, *tensors[:4], atoms, tensors[4], selector)
    else:
        output = ops.categorical_q_learning(atoms, *tensors)
        theirs = trfl.categorical_dist_qlearning(atoms, *tensors[:4], atoms, tensors[4])
    np.testing.assert_allclose(output.loss, theirs.loss, rtol=1e-4)
    np.testing.assert_allclose(output.target, tf.linalg.matvec(theirs.extra.target, atoms), rtol=1e-4, atol=1e-5)
    expected = categorical_loop(atoms_of(*SUPPORTS[name]), data, data.selector if double else None)
    for field in ops.LossOutput._fields:
        np.testing.assert_allclose(getattr(output, field), getattr(expected, field), rtol=1e-4, atol=1e-4, err_msg=field)


def test_the_target_of_a_terminated_row_is_its_reward() -> None:
    atoms, data = ops.support(-2.0, 2.0, 5), transitions(seed=0, num_atoms=5)
    reward = tf.clip_by_value(data.reward, -2.0, 2.0)
    output = ops.categorical_q_learning(atoms, *data._replace(reward=reward)[:5])
    distance, ended = np.abs(output.target - reward), data.discount.numpy() == 0.0
    np.testing.assert_allclose(distance[ended], 0.0, atol=1e-5)
    assert (distance[~ended] > 1e-3).all()


def test_very_large_logits_give_a_finite_loss_and_gradient() -> None:
    data = transitions(seed=0, num_atoms=5)
    data = data._replace(q=1e4 * data.q, next_q=1e4 * data.next_q)
    atoms = ops.support(-2.0, 2.0, 5)
    (gradient,) = gradients(lambda logits: ops.categorical_q_learning(atoms, logits, *data[1:5]).loss, data.q)
    assert np.isfinite(ops.categorical_q_learning(atoms, *data[:5]).loss).all()
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("output", ["loss", "target"])
def test_no_gradient_flows_into_the_target_side(output) -> None:
    logits, action, *target_side = transitions(seed=1, num_atoms=5)
    atoms = ops.support(-2.0, 2.0, 5)

    def of(logits, *others):
        return getattr(ops.categorical_q_learning(atoms, logits, action, *others), output)

    into_logits, *into_target = gradients(of, logits, *target_side)
    assert into_target == [None, None, None, None]  # reward, discount, next_logits, next_q_selector
    assert (into_logits is None) == (output == "target")


@pytest.mark.parametrize("output", ["loss", "target"])
def test_no_gradient_flows_into_the_next_logits_when_they_select_the_action(output) -> None:
    data = transitions(seed=1, num_atoms=5)
    atoms = ops.support(-2.0, 2.0, 5)
    (into_next,) = gradients(
        lambda next_logits: getattr(ops.categorical_q_learning(atoms, *data[:4], next_logits), output), data.next_q
    )
    assert into_next is None


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_into_the_logits_is_softmax_minus_target_at_the_action_and_zero_elsewhere(seed) -> None:
    data = transitions(seed, num_atoms=5)
    atoms = ops.support(-2.0, 2.0, 5)
    (gradient,) = gradients(lambda logits: ops.categorical_q_learning(atoms, logits, *data[1:5]).loss, data.q)
    theirs = trfl.categorical_dist_qlearning(atoms, *data[:4], atoms, data.next_q)
    expected = np.zeros(data.q.shape)
    for row, action in enumerate(data.action):
        expected[row, action] = softmax(data.q[row, action].numpy()) - theirs.extra.target[row]
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


@pytest.mark.slow
def test_the_gradient_into_the_logits_is_that_of_finite_differences() -> None:
    data = transitions(seed=2, rows=3, num_atoms=5, dtype=tf.float64)
    atoms = tf.constant(atoms_of(-2.0, 2.0, 5))

    def of(logits):
        return ops.categorical_q_learning(atoms, logits, *data[1:]).loss

    (gradient,) = gradients(of, data.q)
    expected = finite_difference(lambda logits: tf.reduce_sum(of(tf.constant(logits))), data.q.numpy())
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


NAMES = ["atoms", "logits", "action", "reward", "discount", "next_logits", "next_q_selector"]


def arguments() -> list[tf.Tensor]:
    return [ops.support(-2.0, 2.0, 5), *transitions(seed=3, num_atoms=5)]


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_with_one_axis_too_many_is_named(name) -> None:
    given_arguments = arguments()
    given_arguments[NAMES.index(name)] = given_arguments[NAMES.index(name)][:, tf.newaxis]
    with pytest.raises(ValueError, match=rf"^{name} has shape"):
        ops.categorical_q_learning(*given_arguments)


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_with_one_axis_too_few_is_named(name) -> None:
    given_arguments = arguments()
    given_arguments[NAMES.index(name)] = given_arguments[NAMES.index(name)][0]
    with pytest.raises(ValueError, match=rf"^{name} has shape"):
        ops.categorical_q_learning(*given_arguments)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("action", slice(1)),
        ("reward", slice(1)),
        ("discount", slice(1)),
        ("next_logits", slice(1)),
        ("next_q_selector", slice(1)),
        ("logits", (..., slice(1))),  # atoms
        ("next_logits", (..., slice(1))),
        ("next_logits", (slice(None), slice(1))),  # actions
        ("next_q_selector", (slice(None), slice(1))),
    ],
    ids=str,
)
def test_an_argument_of_another_size_is_named(name, kept) -> None:
    given_arguments = arguments()
    given_arguments[NAMES.index(name)] = given_arguments[NAMES.index(name)][kept]  # size 1, which would broadcast
    with pytest.raises(ValueError, match=rf"^{name} has shape"):
        ops.categorical_q_learning(*given_arguments)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("double", [False, True], ids=["single", "double"])
def test_the_loss_is_the_same_eagerly_traced_and_compiled(double, mode) -> None:
    assert_same_as_eager(mode, ops.categorical_q_learning, *(arguments() if double else arguments()[:-1]))
