"""The sum of squares of many numbers is that of NumPy, in parts or not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl.engine.functional import Functional
from polyrl.engine.squares import LEAST, PARTS, sum_of_squares

SHAPES = [(), (3, 5), (LEAST - 1,), (LEAST,), (LEAST + PARTS - 1,), (257, 129), (3, 3, 64, 64)]


def called(x, carried, jit):
    """The sum in a graph; `carried` as in calls that XLA compiles, where large tensors are divided."""

    @tf.function(autograph=False, jit_compile=jit)
    def call(given):
        if not carried:
            return sum_of_squares(given)
        with Functional([tf.Module()]).given([]):
            return sum_of_squares(given)

    return call(tf.constant(x))


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_that_of_numpy(shape, carried, jit):
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    found = called(x, carried, jit)
    assert found.shape == []
    np.testing.assert_allclose(found, np.square(x.astype(np.float64)).sum(), rtol=1e-6)


def test_large_tensors_are_divided_in_carried_calls_alone():
    def operations(carried):
        graph = tf.Graph()
        with graph.as_default():
            x = tf.zeros([LEAST])
            if carried:
                with Functional([tf.Module()]).given([]):
                    sum_of_squares(x)
            else:
                sum_of_squares(x)
        return [operation.type for operation in graph.get_operations()]

    assert operations(False).count("L2Loss") == 1
    assert operations(True).count("Square") == PARTS


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("place", [0, LEAST // 2, LEAST + 2])
def test_what_is_not_finite_is_not_lost(value, place):
    x = np.zeros(LEAST + 3, np.float32)
    x[place] = value
    assert not np.isfinite(called(x, carried=True, jit=True))
