"""The dueling combination of value and advantage against a loop and examples by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from ops_testing import MODES, SEEDS, assert_same_as_eager

from polyrl import ops

BASELINES = {
    "mean": lambda row: sum(row) / len(row),
    "max": lambda row: max(row),
    "naive": lambda row: 0.0,
}


@pytest.mark.parametrize("num_atoms", [None, 5], ids=["scalar", "atoms"])
@pytest.mark.parametrize("how", BASELINES)
@pytest.mark.parametrize("seed", SEEDS[:2])
def test_dueling_equals_a_loop_over_rows_actions_and_atoms(seed, how, num_atoms) -> None:
    rng = np.random.default_rng(seed)
    rows, num_actions, trailing = 4, 3, () if num_atoms is None else (num_atoms,)
    advantage = rng.normal(size=(rows, num_actions, *trailing))
    value = rng.normal(size=(rows, 1, *trailing))
    expected = np.zeros_like(advantage)
    for index in np.ndindex(advantage.shape):
        row, atom = index[0], index[2:]
        of_all_actions = [advantage[(row, action, *atom)] for action in range(num_actions)]
        expected[index] = value[(row, 0, *atom)] + advantage[index] - BASELINES[how](of_all_actions)
    np.testing.assert_allclose(ops.dueling(tf.constant(advantage), tf.constant(value), how), expected)


@pytest.mark.parametrize(
    ("how", "expected"),
    # A = (1, 2, 6), mean 3, max 6; V = 10.
    [("mean", [8.0, 9.0, 13.0]), ("max", [5.0, 6.0, 10.0]), ("naive", [11.0, 12.0, 16.0])],
)
def test_dueling_by_hand(how, expected) -> None:
    np.testing.assert_allclose(ops.dueling(tf.constant([[1.0, 2.0, 6.0]]), tf.constant([[10.0]]), how), [expected])


def test_dueling_refuses_an_unknown_baseline() -> None:
    with pytest.raises(ValueError, match="how='median' is unknown; use 'mean', 'max' or 'naive'"):
        ops.dueling(tf.zeros([2, 3]), tf.zeros([2, 1]), "median")


@pytest.mark.parametrize(
    ("advantage", "value"),
    [([3, 3], [3]), ([3, 2], [1, 1]), ([3, 2], [3, 2]), ([3, 2, 5], [3, 1]), ([3, 2, 5], [3, 1, 1])],
    ids=str,
)
def test_dueling_refuses_a_value_that_is_not_one_per_row_and_atom(advantage, value) -> None:
    # All but [3, 1] would broadcast, and that one fails in TensorFlow without naming the argument.
    with pytest.raises(ValueError, match="value"):
        ops.dueling(tf.zeros(advantage), tf.zeros(value), "mean")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["mean", "max", "naive"])
def test_dueling_is_the_same_eagerly_traced_and_compiled(how, mode) -> None:
    rng = np.random.default_rng(0)
    advantage, value = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(5, 1)).astype(np.float32)
    assert_same_as_eager(mode, lambda advantage, value: ops.dueling(advantage, value, how), advantage, value)
