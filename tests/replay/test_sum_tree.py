"""`SumTree` against an array: sums, draws, and robustness to rounding errors."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_testing import COMPILATIONS, seed

from polyrl.replay.sum_tree import BRANCHING, LARGEST, SumTree

CAPACITIES = [1, 2, BRANCHING - 1, BRANCHING, BRANCHING + 1, BRANCHING**2, BRANCHING**2 + 1, 3_000]


def leaves(tree: SumTree) -> np.ndarray:
    return tree.levels[-1].numpy().ravel()


def check_sums(tree: SumTree) -> None:
    """Every node is the sum of its children; unused nodes are zero."""
    for above, level in zip(tree.levels, tree.levels[1:], strict=False):
        sums = level.numpy().astype(np.float64).sum(axis=1)
        nodes = above.numpy().ravel()
        np.testing.assert_allclose(nodes[: len(sums)], sums, rtol=1e-6)
        assert not nodes[len(sums) :].any()
    assert tree.levels[0].shape[0] == 1


def check_draws(tree: SumTree, number: int, count: int) -> np.ndarray:
    """Drawn leaves come with their values, none of which is zero, and each overlaps its stratum up to float32 rounding."""
    index, value = (result.numpy() for result in tree.sample(seed(number), count))
    values = leaves(tree).astype(np.float64)
    np.testing.assert_array_equal(value, values[index])
    assert (value > 0).all()
    ends = np.cumsum(values)
    strata = np.arange(count + 1) / count * ends[-1]
    slack = 1e-5 * ends[-1]
    assert (ends[index] >= strata[:-1] - slack).all()
    assert (ends[index] - values[index] <= strata[1:] + slack).all()
    return index


values = st.one_of(st.just(0.0), st.floats(2**-20, 2**20, width=32))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    capacity=st.sampled_from(CAPACITIES),
    updates=st.lists(st.lists(st.tuples(st.integers(0, 10**6), values), min_size=1, max_size=40), min_size=1, max_size=8),
)
def test_after_any_updates_values_and_sums_are_those_of_an_array(capacity, updates):
    tree, naive = SumTree(capacity), np.zeros(capacity, np.float32)
    for number, update in enumerate(updates):
        new: dict[int, float] = {}
        for index, value in update:
            new[index % capacity] = max(value, new.get(index % capacity, 0.0))
        indices = np.array([index % capacity for index, _ in update])
        tree.update(tf.constant(indices), tf.constant([value for _, value in update], tf.float32))
        naive[list(new)] = list(new.values())
        np.testing.assert_array_equal(leaves(tree)[:capacity], naive)
        assert not leaves(tree)[capacity:].any()
        np.testing.assert_array_equal(tree.get(tf.constant(indices)), naive[indices])
        check_sums(tree)
        if naive.any():
            check_draws(tree, number, 1 + len(update))


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("value", [1e-6, 1.0, 1e6])
def test_the_only_leaf_with_a_value_is_always_drawn(capacity, value):
    for place in {0, capacity // 2, capacity - 1}:
        tree = SumTree(capacity)
        tree.update(tf.constant([place]), tf.constant([value]))
        assert set(check_draws(tree, place, 64)) == {place}


@pytest.mark.parametrize("number", range(3))
def test_zeros_are_never_drawn_between_values_of_very_different_size(number):
    """Sums of numbers from 1e-6 to 1e6 have large rounding errors."""
    rng = np.random.default_rng(number)
    tree = SumTree(3_000)
    naive = np.where(rng.random(3_000) < 0.5, 0.0, 10 ** rng.uniform(-6, 6, 3_000)).astype(np.float32)
    tree.update(tf.range(3_000), tf.constant(naive))
    sample = tf.function(lambda s: tree.sample(s, 256))
    for draw in range(50):
        index, value = sample(tf.constant([number, draw]))
        assert (value.numpy() > 0).all()
        np.testing.assert_array_equal(value, naive[index.numpy()])


@pytest.mark.default_cases(5)
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0])
def test_leaves_are_drawn_in_proportion_to_their_values(number, spread):
    """Chi-square; strata can only make the counts more even than independent draws, so the test is one-sided."""
    rng = np.random.default_rng(number)
    tree = SumTree(200)
    naive = np.exp(spread * rng.normal(size=200)).astype(np.float32)
    naive[rng.integers(0, 200, 40)] = 0.0
    tree.update(tf.range(200), tf.constant(naive))
    sample = tf.function(lambda s: tree.sample(s, 60)[0])
    draws = np.concatenate([sample(tf.constant([number, step])).numpy() for step in range(400)])
    expected = len(draws) * naive.astype(np.float64) / naive.sum(dtype=np.float64)
    # Rare leaves are counted together, because chi-square needs expected counts that are not small.
    common = expected >= 5
    counts = np.bincount(draws, minlength=200)
    observed = np.append(counts[common], counts[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    observed, expected = observed[expected > 5], expected[expected > 5]
    free = len(expected) - 1
    assert np.sum((observed - expected) ** 2 / expected) < free + 6 * np.sqrt(2 * free)
    assert not counts[naive == 0].any()


@pytest.mark.slow
def test_a_million_leaves_are_drawn_evenly():
    """A position among them takes nearly all of a float32's 24 binary digits."""
    tree = SumTree(2**20)
    tree.levels[-1].assign(tf.ones_like(tree.levels[-1]))
    for above, level in zip(tree.levels[-2::-1], tree.levels[:0:-1], strict=True):
        above.assign(tf.reshape(tf.reduce_sum(level, axis=1), above.shape))
    sample = tf.function(lambda s: tree.sample(s, 1_000)[0])
    draws = np.concatenate([sample(tf.constant([1, step])).numpy() for step in range(300)])
    counts = np.bincount(draws % 64, minlength=64)
    expected = len(draws) / 64
    assert abs(np.sum((counts - expected) ** 2 / expected) - 63) < 6 * np.sqrt(2 * 63)


def test_negative_and_not_finite_values_are_clipped():
    tree = SumTree(40)
    tree.update(tf.constant([0, 1, 2, 3]), tf.constant([-1.0, np.nan, np.inf, 1.0]))
    np.testing.assert_array_equal(leaves(tree)[:4], np.float32([0.0, 0.0, LARGEST, 1.0]))
    assert set(check_draws(tree, 0, 32)) == {2}


def test_sampling_an_empty_tree_gives_a_valid_leaf():
    """There is none to draw, but it neither hangs nor returns an index out of range."""
    index, value = SumTree(5).sample(seed(0), 8)
    assert set(index.numpy()) == {0}
    assert not value.numpy().any()


@pytest.mark.slow
def test_compiled_and_eager_calls_give_the_same():
    results = {}
    for how, wrap in COMPILATIONS.items():
        rng = np.random.default_rng(0)
        tree = SumTree(3_000)
        update, sample = wrap(tree.update), wrap(lambda s, tree=tree: tree.sample(s, 32))
        draws = []
        for number in range(10):
            new = tf.constant(rng.integers(0, 3_000, 50))
            update(new, tf.constant(rng.integers(1, 100, 50), tf.float32))
            draws.append(sample(seed(number))[0].numpy())
        results[how] = [np.concatenate(draws), *(level.numpy().ravel() for level in tree.levels)]
    for how in ("function", "xla"):
        for result, expected in zip(results[how], results["eager"], strict=True):
            np.testing.assert_array_equal(result, expected)
