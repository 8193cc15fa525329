"""C51 against trfl, the loop of the paper's Algorithm 1, and examples by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import trfl
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_testing import MODES, SEEDS, assert_same_as_eager, finite_difference, gradients, transitions
from trfl.distribution_ops import l2_project

from polyrl import ops

PROPERTY = settings(max_examples=40, deadline=None, derandomize=True)
SUPPORTS = {"symmetric": (-2.0, 2.0, 9), "from_zero": (0.0, 3.0, 7), "two_atoms": (-1.0, 4.0, 2), "c51": (-10.0, 10.0, 51)}


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def atoms_of(low: float, high: float, num_atoms: int) -> np.ndarray:
    return np.array([low + i * (high - low) / (num_atoms - 1) for i in range(num_atoms)])


def projection_loop(positions: np.ndarray, probabilities: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """Algorithm 1 of Bellemare et al. 2017 in float64, with the mass of a position on an atom kept whole."""
    low, high, last = float(atoms[0]), float(atoms[-1]), len(atoms) - 1
    spacing = (high - low) / last
    result = np.zeros((len(positions), len(atoms)))
    for row in range(len(positions)):
        for position, mass in zip(positions[row], probabilities[row], strict=True):
            index = (min(max(float(position), low), high) - low) / spacing
            lower = min(int(np.floor(index)), last)
            result[row, lower] += mass * (1 - (index - lower))
            if lower < last:
                result[row, lower + 1] += mass * (index - lower)
    return result


def random_distribution(seed: int, rows: int, size: int) -> tf.Tensor:
    return tf.constant(softmax(np.random.default_rng(seed).normal(size=(rows, size))), tf.float32)


# Support and expectation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SUPPORTS)
def test_the_support_is_evenly_spaced_and_contains_both_ends(name) -> None:
    low, high, num_atoms = SUPPORTS[name]
    atoms = ops.support(low, high, num_atoms)
    assert atoms.dtype == tf.float32
    assert (atoms[0], atoms[-1]) == (low, high)
    np.testing.assert_allclose(atoms, atoms_of(low, high, num_atoms), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("leading", [(), (3,), (3, 4)], ids=str)
def test_the_expected_value_is_the_mean_over_the_last_axis(leading) -> None:
    atoms = np.array([-1.0, 0.5, 2.0])
    probabilities = softmax(np.random.default_rng(0).normal(size=(*leading, 3)))
    expected = np.zeros(leading)
    for index in np.ndindex(leading):
        expected[index] = sum(p * z for p, z in zip(probabilities[index], atoms, strict=True))
    np.testing.assert_allclose(ops.expected_value(tf.constant(probabilities), tf.constant(atoms)), expected)


@pytest.mark.parametrize("shape", [[1], [5], [3, 4]], ids=str)
def test_the_expected_value_refuses_atoms_that_are_not_one_per_probability(shape) -> None:
    with pytest.raises(ValueError, match="atoms"):
        ops.expected_value(tf.zeros([2, 3, 4]), tf.zeros(shape))


@pytest.mark.parametrize("level", [1e-6, 0.05, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_conditional_value_at_risk_is_the_largest_of_the_concave_bound(seed, level) -> None:
    # Rockafellar & Uryasev 2000: max over c of c - E[max(c - Z, 0)] / level; for a discrete Z it is reached at an atom.
    rng = np.random.default_rng(seed)
    atoms = np.sort(rng.normal(size=7))
    probabilities = softmax(2 * rng.normal(size=(5, 3, 7)))
    expected = np.zeros((5, 3))
    for index in np.ndindex(5, 3):
        bounds = [c - sum(p * max(c - z, 0) for p, z in zip(probabilities[index], atoms, strict=True)) / level for c in atoms]
        expected[index] = max(bounds)
    found = ops.conditional_value_at_risk(tf.constant(probabilities), tf.constant(atoms), level)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_the_conditional_value_at_risk_by_hand() -> None:
    # The worst quarter of (0.1 at -2, 0.4 at 0, 0.5 at 1): 0.1 at -2 and 0.15 at 0.
    arguments = tf.constant([0.1, 0.4, 0.5]), tf.constant([-2.0, 0.0, 1.0])
    assert ops.conditional_value_at_risk(*arguments, 0.25).numpy() == pytest.approx(-0.8)
    assert ops.conditional_value_at_risk(*arguments, 1.0).numpy() == pytest.approx(0.3)


@pytest.mark.parametrize("mode", MODES)
def test_the_conditional_value_at_risk_is_the_same_in_every_mode(mode) -> None:
    probabilities, atoms = random_distribution(0, 6, 5), tf.linspace(-1.0, 2.0, 5)
    assert_same_as_eager(mode, lambda p, z: ops.conditional_value_at_risk(p, z, 0.3), probabilities, atoms)


@pytest.mark.parametrize("level", [0.0, -0.5, 1.5, 1e-7, float("nan")])
def test_the_conditional_value_at_risk_refuses_another_level(level) -> None:
    with pytest.raises(ValueError, match=f"level={level} must lie in"):
        ops.conditional_value_at_risk(tf.zeros([2, 4]), tf.zeros([4]), level)


# Projection -------------------------------------------------------------------------------------------------------------


def test_projection_by_hand() -> None:
    atoms = tf.constant([-1.0, 0.0, 1.0])
    positions = tf.constant([[-0.25, 0.25, 0.75]])
    probabilities = tf.constant([[0.2, 0.3, 0.5]])
    # -0.25 is 1/4 of the way from 0 to -1: 0.2 gives 0.05 to -1 and 0.15 to 0.
    # 0.25: 0.3 gives 0.225 to 0 and 0.075 to 1. 0.75: 0.5 gives 0.125 to 0 and 0.375 to 1.
    expected = [[0.05, 0.15 + 0.225 + 0.125, 0.075 + 0.375]]
    np.testing.assert_allclose(ops.project_distribution(positions, probabilities, atoms), expected, rtol=1e-6)


@pytest.mark.parametrize("name", SUPPORTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_projection_equals_trfl_and_the_papers_loop(seed, name) -> None:
    low, high, num_atoms = SUPPORTS[name]
    rng = np.random.default_rng(seed)
    atoms = ops.support(low, high, num_atoms)
    # Half as wide again as the support, so that both ends clip something.
    positions = rng.uniform(1.5 * low - 1, 1.5 * high + 1, (6, num_atoms + 3)).astype(np.float32)
    assert positions.min() < low
    assert positions.max() > high
    probabilities = random_distribution(seed, 6, num_atoms + 3)
    projected = ops.project_distribution(tf.constant(positions), probabilities, atoms)
    np.testing.assert_allclose(projected, l2_project(positions, probabilities, atoms), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        projected, projection_loop(positions, probabilities.numpy(), atoms_of(low, high, num_atoms)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", SUPPORTS)
def test_positions_on_the_atoms_keep_their_mass_where_it_is(name) -> None:
    # floor and ceil agree on an atom, where the paper's pseudo-code loses the mass.
    atoms = ops.support(*SUPPORTS[name])
    probabilities = random_distribution(0, 4, len(atoms))
    positions = tf.tile(atoms[tf.newaxis], [4, 1])
    np.testing.assert_allclose(ops.project_distribution(positions, probabilities, atoms), probabilities, atol=1e-5)


@pytest.mark.parametrize("name", SUPPORTS)
def test_positions_beyond_the_ends_give_their_mass_to_the_end_atoms(name) -> None:
    low, high, num_atoms = SUPPORTS[name]
    positions = tf.constant([[low - 0.1, low - 100.0, high + 0.1, high + 100.0]])
    projected = ops.project_distribution(positions, tf.constant([[0.1, 0.2, 0.3, 0.4]]), ops.support(*SUPPORTS[name]))
    expected = np.zeros((1, num_atoms))
    expected[0, 0], expected[0, -1] = 0.1 + 0.2, 0.3 + 0.4
    np.testing.assert_allclose(projected, expected, atol=1e-6)


def test_half_way_between_atoms_the_mass_is_halved_with_a_support_from_zero() -> None:
    atoms = ops.support(0.0, 2.0, 3)
    projected = ops.project_distribution(tf.constant([[0.5], [0.0]]), tf.constant([[1.0], [1.0]]), atoms)
    np.testing.assert_allclose(projected, [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])


@st.composite
def projections(draw):
    low = draw(st.integers(-20, 10)) / 2
    atoms = (low, low + draw(st.integers(1, 40)) / 2, draw(st.integers(2, 12)))
    rows, size = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    positions = draw(st.lists(st.floats(-50, 50, width=32), min_size=rows * size, max_size=rows * size))
    return (
        np.array(positions, np.float32).reshape(rows, size),
        random_distribution(draw(st.integers(0, 99)), rows, size),
        atoms,
    )


@PROPERTY
@given(projections())
def test_any_projection_keeps_the_mass_and_equals_the_papers_loop(case) -> None:
    positions, probabilities, (low, high, num_atoms) = case
    projected = ops.project_distribution(tf.constant(positions), probabilities, ops.support(low, high, num_atoms)).numpy()
    assert (projected >= 0.0).all()
    np.testing.assert_allclose(projected.sum(axis=1), 1.0, atol=1e-5)
    expected = projection_loop(positions, probabilities.numpy(), atoms_of(low, high, num_atoms))
    # float32 places a position to 6e-8 of its size (at most 20), against atoms at least 1/22 apart: 3e-5 of a share.
    np.testing.assert_allclose(projected, expected, atol=1e-4)


@PROPERTY
@given(st.integers(0, 99), st.sampled_from(sorted(SUPPORTS)), st.floats(0.0, 1.0, width=32))
def test_the_projection_keeps_the_mean_of_what_lies_within_the_support(seed, name, shrink) -> None:
    low, high, _ = SUPPORTS[name]
    atoms = ops.support(*SUPPORTS[name])
    middle = (low + high) / 2
    positions = middle + shrink * (atoms[tf.newaxis] - middle)
    probabilities = random_distribution(seed, 1, len(atoms))
    projected = ops.project_distribution(positions, probabilities, atoms)
    np.testing.assert_allclose(
        ops.expected_value(projected, atoms), tf.reduce_sum(probabilities * positions, axis=1), atol=1e-4
    )


# The loss ---------------------------------------------------------------------------------------------------------------


def categorical_loop(atoms: np.ndarray, data, selector: tf.Tensor | None) -> ops.LossOutput:
    """Algorithm 1 row by row, in float64."""
    data, rows = data.numpy(), []
    for row in range(len(data.reward)):
        next_probabilities = softmax(data.next_q[row].astype(np.float64))
        scores = [float(p @ atoms) for p in next_probabilities] if selector is None else list(selector[row].numpy())
        best = scores.index(max(scores))
        positions = np.array([[data.reward[row] + data.discount[row] * atom for atom in atoms]])
        target = projection_loop(positions, next_probabilities[best : best + 1], atoms)[0]
        predicted = softmax(data.q[row, data.action[row]].astype(np.float64))
        loss = -sum(t * np.log(p) for t, p in zip(target, predicted, strict=True))
        rows.append((loss, target @ atoms, target @ atoms - predicted @ atoms, predicted @ atoms))
    return ops.LossOutput(*np.array(rows).T)


def target_of(logits: tf.Tensor, action: tf.Tensor, gradient: tf.Tensor) -> np.ndarray:
    """The target distribution, read off the gradient of the cross-entropy, `softmax - target`."""
    rows = np.arange(len(action))
    return softmax(logits.numpy())[rows, action] - gradient.numpy()[rows, action]


class Hand:
    """One row, two actions, atoms -1, 0, 1. The online logits of action 1 are even."""

    atoms = tf.constant([-1.0, 0.0, 1.0])
    logits = tf.constant([[[5.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    action = tf.constant([1])
    reward = tf.constant([0.25])
    discount = tf.constant([0.5])
    next_logits = tf.math.log([[[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]]])  # means 0.3 and -0.4


def test_categorical_q_learning_by_hand() -> None:
    arguments = Hand.atoms, Hand.logits, Hand.action, Hand.reward, Hand.discount, Hand.next_logits
    output = ops.categorical_q_learning(*arguments)
    # The next action is 0. The atoms move to 0.25 + 0.5 z = -0.25, 0.25, 0.75, the projection of which is, as in
    # test_projection_by_hand, (0.05, 0.5, 0.45): mean 0.4 = 0.25 + 0.5 * 0.3. The prediction is even: mean 0, and
    # the cross-entropy of anything against it is log 3.
    np.testing.assert_allclose(output.loss, [np.log(3)], rtol=1e-6)
    np.testing.assert_allclose(output.target, [0.4], rtol=1e-5)
    np.testing.assert_allclose(output.prediction, [0.0], atol=1e-6)
    np.testing.assert_allclose(output.td_error, [0.4], rtol=1e-5)
    (gradient,) = gradients(lambda logits: ops.categorical_q_learning(Hand.atoms, logits, *arguments[2:]).loss, Hand.logits)
    target = target_of(Hand.logits, Hand.action, gradient)
    np.testing.assert_allclose(target, [[0.05, 0.5, 0.45]], rtol=1e-5)


def test_the_double_variant_by_hand() -> None:
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


def test_a_terminated_row_aims_at_its_reward_alone() -> None:
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


# Gradients --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["loss", "target"])
def test_no_gradient_flows_into_the_target_side(output) -> None:
    logits, action, *target_side = transitions(seed=1, num_atoms=5)
    atoms = ops.support(-2.0, 2.0, 5)

    def of(logits, *others):
        return getattr(ops.categorical_q_learning(atoms, logits, action, *others), output)

    into_logits, *into_target = gradients(of, logits, *target_side)
    assert into_target == [None, None, None, None]  # reward, discount, next_logits, next_q_selector
    assert (into_logits is None) == (output == "target")


def test_no_gradient_flows_through_a_projection() -> None:
    positions, probabilities = tf.constant([[0.25, -0.5]]), tf.constant([[0.5, 0.5]])
    atoms = ops.support(-1.0, 1.0, 3)
    assert gradients(lambda *given: ops.project_distribution(*given, atoms), positions, probabilities) == [None, None]


@pytest.mark.parametrize("output", ["loss", "target"])
def test_no_gradient_flows_into_the_next_logits_that_choose_the_action_themselves(output) -> None:
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


def test_the_gradient_into_the_logits_is_that_of_finite_differences() -> None:
    data = transitions(seed=2, rows=3, num_atoms=5, dtype=tf.float64)
    atoms = tf.constant(atoms_of(-2.0, 2.0, 5))

    def of(logits):
        return ops.categorical_q_learning(atoms, logits, *data[1:]).loss

    (gradient,) = gradients(of, data.q)
    expected = finite_difference(lambda logits: tf.reduce_sum(of(tf.constant(logits))), data.q.numpy())
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


# Shapes -----------------------------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("positions", ([3], [3, 5], [5])),
        ("probabilities", ([3, 5], [3], [5])),
        ("probabilities", ([3, 5], [1, 5], [5])),
        ("probabilities", ([3, 5], [3, 1], [5])),
        ("atoms", ([3, 5], [3, 5], [1, 5])),
    ],
    ids=str,
)
def test_the_projection_names_an_argument_of_another_shape(name, shapes) -> None:
    with pytest.raises(ValueError, match=rf"^{name} has shape"):
        ops.project_distribution(*map(tf.zeros, shapes))


# Ways of running --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("double", [False, True], ids=["single", "double"])
def test_the_loss_is_the_same_eagerly_traced_and_compiled(double, mode) -> None:
    assert_same_as_eager(mode, ops.categorical_q_learning, *(arguments() if double else arguments()[:-1]))


@pytest.mark.parametrize("mode", MODES)
def test_the_projection_is_the_same_eagerly_traced_and_compiled(mode) -> None:
    positions = np.random.default_rng(0).uniform(-3, 3, (4, 6)).astype(np.float32)
    assert_same_as_eager(mode, ops.project_distribution, positions, random_distribution(0, 4, 6), ops.support(-2.0, 2.0, 5))
