"""States that are given to be acted on, as a batch."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl.estimators.inputs import batch_of_states

VECTOR = {"shape": [4], "dtype": "float32"}
DISCRETE = {"shape": [], "dtype": "int32", "n": 3, "start": 5}


@pytest.mark.parametrize("make", [np.asarray, tf.constant, tf.Variable, lambda values: values], ids=lambda f: f.__name__)
def test_numbers_in_any_array_are_states(make):
    for spec, one in ((VECTOR, [0.0, 1.0, 2.0, 3.0]), (DISCRETE, 6)):
        batch, single = batch_of_states("state", make(one), spec)
        assert single
        assert batch.shape == (1, *spec["shape"])
        batch, single = batch_of_states("state", make([one, one]), spec)
        assert not single
        np.testing.assert_array_equal(batch, np.asarray([one, one]) - spec.get("start", 0))
        assert batch.dtype == spec["dtype"]


def test_a_variable_of_another_shape_is_refused_by_its_shape():
    with pytest.raises(ValueError, match=r"state has shape \(5,\); expected \(4,\) or a batch of them"):
        batch_of_states("state", tf.Variable(np.zeros(5)), VECTOR)
