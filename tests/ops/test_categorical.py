"""Supports, expectations, conditional value at risk and projections, against trfl, the paper's loop and examples by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from categorical_testing import SUPPORTS, atoms_of, projection_loop, random_distribution, softmax
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_testing import MODES, SEEDS, assert_same_as_eager, gradients
from trfl.distribution_ops import l2_project

from polyrl import ops

PROPERTY = settings(max_examples=40, deadline=None, derandomize=True)


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
def test_the_conditional_value_at_risk_is_the_maximum_of_its_concave_bound(seed, level) -> None:
    # Rockafellar & Uryasev 2000: max over c of c - E[max(c - Z, 0)] / level; for a discrete Z the maximum is at an atom.
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
def test_the_conditional_value_at_risk_refuses_a_level_out_of_range(level) -> None:
    with pytest.raises(ValueError, match=f"level={level} must (lie in|be finite)"):
        ops.conditional_value_at_risk(tf.zeros([2, 4]), tf.zeros([4]), level)


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
    # Wider than the support, so that positions are clipped at both ends.
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
def test_mass_at_an_atom_stays_there(name) -> None:
    # At an atom floor and ceil are equal, and the paper's pseudo-code loses the mass.
    atoms = ops.support(*SUPPORTS[name])
    probabilities = random_distribution(0, 4, len(atoms))
    positions = tf.tile(atoms[tf.newaxis], [4, 1])
    np.testing.assert_allclose(ops.project_distribution(positions, probabilities, atoms), probabilities, atol=1e-5)


@pytest.mark.parametrize("name", SUPPORTS)
def test_mass_beyond_the_support_is_clipped_to_the_end_atoms(name) -> None:
    low, high, num_atoms = SUPPORTS[name]
    positions = tf.constant([[low - 0.1, low - 100.0, high + 0.1, high + 100.0]])
    projected = ops.project_distribution(positions, tf.constant([[0.1, 0.2, 0.3, 0.4]]), ops.support(*SUPPORTS[name]))
    expected = np.zeros((1, num_atoms))
    expected[0, 0], expected[0, -1] = 0.1 + 0.2, 0.3 + 0.4
    np.testing.assert_allclose(projected, expected, atol=1e-6)


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


@pytest.mark.slow
@PROPERTY
@given(projections())
def test_any_projection_preserves_the_mass_and_equals_the_papers_loop(case) -> None:
    positions, probabilities, (low, high, num_atoms) = case
    projected = ops.project_distribution(tf.constant(positions), probabilities, ops.support(low, high, num_atoms)).numpy()
    assert (projected >= 0.0).all()
    np.testing.assert_allclose(projected.sum(axis=1), 1.0, atol=1e-5)
    expected = projection_loop(positions, probabilities.numpy(), atoms_of(low, high, num_atoms))
    # float32 places a position to 6e-8 of its size (at most 20), against atoms at least 1/22 apart: 3e-5 of a share.
    np.testing.assert_allclose(projected, expected, atol=1e-4)


@PROPERTY
@given(st.integers(0, 99), st.sampled_from(sorted(SUPPORTS)), st.floats(0.0, 1.0, width=32))
def test_the_projection_preserves_the_mean_of_mass_within_the_support(seed, name, shrink) -> None:
    low, high, _ = SUPPORTS[name]
    atoms = ops.support(*SUPPORTS[name])
    middle = (low + high) / 2
    positions = middle + shrink * (atoms[tf.newaxis] - middle)
    probabilities = random_distribution(seed, 1, len(atoms))
    projected = ops.project_distribution(positions, probabilities, atoms)
    np.testing.assert_allclose(
        ops.expected_value(projected, atoms), tf.reduce_sum(probabilities * positions, axis=1), atol=1e-4
    )


def test_no_gradient_flows_through_a_projection() -> None:
    positions, probabilities = tf.constant([[0.25, -0.5]]), tf.constant([[0.5, 0.5]])
    atoms = ops.support(-1.0, 1.0, 3)
    assert gradients(lambda *given: ops.project_distribution(*given, atoms), positions, probabilities) == [None, None]


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


@pytest.mark.parametrize("mode", MODES)
def test_the_projection_is_the_same_eagerly_traced_and_compiled(mode) -> None:
    positions = np.random.default_rng(0).uniform(-3, 3, (4, 6)).astype(np.float32)
    assert_same_as_eager(mode, ops.project_distribution, positions, random_distribution(0, 4, 6), ops.support(-2.0, 2.0, 5))


def test_the_clipped_mass_is_that_of_a_loop():
    rng = np.random.default_rng(1)
    atoms = ops.support(-2.0, 2.0, 5)
    logits, reward = rng.normal(size=[6, 2, 5]).astype(np.float32), rng.normal(size=6).astype(np.float32) * 2.0
    discount = np.array([0.9, 0.9, 0.5, 1.0, 0.0, 0.0], np.float32)
    selector = rng.normal(size=[6, 2]).astype(np.float32)
    clipped = ops.clipped_mass(atoms, reward, discount, logits, selector)
    expected = np.zeros(6)
    for row in range(6):
        chosen = softmax(logits[row, np.argmax(selector[row])])
        for atom, mass in zip(atoms.numpy(), chosen, strict=True):
            expected[row] += mass if abs(reward[row] + discount[row] * atom) > 2.0 else 0.0
    assert 0.0 < expected.mean() < 1.0
    np.testing.assert_allclose(clipped, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ends", [(0.0, 1e39), (1e8, 1e8 + 1.0)], ids=str)
def test_a_support_beyond_what_float32_tells_apart_is_refused(ends) -> None:
    with pytest.raises(ValueError, match=r"num_atoms=5 atoms from .* are not finite, or too close together for float32"):
        ops.support(*ends, 5)
    ops.support(1e8, 1e8 + 4_000.0, 5)
