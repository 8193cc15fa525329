"""Tensors as words that can be summed, and shares of rows."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from polyrl.engine.replicas import Replica, as_replica, batch_moments, mean_gradients, mean_over_replicas, own_rows
from polyrl.estimators.strategies.collectives import as_words, from_words, size_in_words

DTYPES = ["bool", "uint8", "int8", "int16", "uint16", "float16", "bfloat16", "int32", "float32", "int64", "float64"]


@pytest.mark.parametrize("shape", [[], [1], [3], [2, 5], [4, 3, 3]])
@pytest.mark.parametrize("name", DTYPES)
def test_words_are_the_bytes_of_a_tensor(name, shape):
    rng, dtype = np.random.default_rng(0), tf.as_dtype(name)
    raw = rng.integers(0, 256, size=[int(np.prod(shape, initial=1)) * dtype.size], dtype=np.uint8)
    values = (raw % 2).astype(bool) if name == "bool" else raw.view(dtype.as_numpy_dtype)
    tensor = tf.constant(values.reshape(shape))
    words = as_words(tensor)
    assert words.dtype == tf.int32
    assert words.shape == [size_in_words(tensor)]
    back = from_words(words + tf.zeros_like(words), tf.TensorSpec(shape, dtype))
    assert back.dtype == dtype
    assert back.shape == shape
    assert np.asarray(back.numpy()).tobytes() == np.asarray(tensor.numpy()).tobytes()


def test_words_keep_what_a_sum_of_floats_would_not():
    tensor = tf.constant([-0.0, np.nan, np.inf, 1e-45], tf.float32)
    assert from_words(as_words(tensor), tensor).numpy().tobytes() == tensor.numpy().tobytes()


def shares(count, compute):
    """What each of `count` replicas makes of its part, where the sums are done by hand: first each tells what it has."""
    told: list[list[np.ndarray]] = []

    def tell(tensors):
        told.append([tensor.numpy() for tensor in tensors])
        return [tf.zeros_like(tensor) for tensor in tensors]

    for index in range(count):
        with as_replica(Replica(index, count, tell)) as replica:
            compute(replica)
    totals = [sum(parts) for parts in zip(*told, strict=True)]
    found = []
    for index in range(count):
        with as_replica(Replica(index, count, lambda tensors: [tf.constant(total) for total in totals])) as replica:
            found.append(compute(replica))
    return found


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_moments_are_those_of_all_rows(count):
    rows = np.random.default_rng(1).normal(3.0, 2.0, size=[6, 2]).astype(np.float32)
    for mean, variance, number in shares(count, lambda replica: batch_moments(replica.rows(tf.constant(rows)))):
        np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(variance, rows.var(axis=0), rtol=1e-4)
        assert float(number) == 6.0


@pytest.mark.parametrize("index", [1, tf.constant(1)])
def test_each_has_its_rows_and_draws_what_they_draw_in_the_whole_batch(index):
    rows = tf.reshape(tf.range(12.0), [6, 2])
    replica = Replica(index, 3, lambda tensors: list(tensors))
    np.testing.assert_array_equal(replica.rows(rows), rows[2:4])
    assert replica.rows(rows).shape == [2, 2]
    np.testing.assert_array_equal(replica.spread(tf.constant([5.0, 6.0])), [0, 0, 5, 6, 0, 0])

    def draw(number):
        return tf.random.stateless_uniform([number, 2], [3, 4])

    with as_replica(replica):
        np.testing.assert_array_equal(own_rows(draw, 2), draw(6)[2:4])
    np.testing.assert_array_equal(own_rows(draw, 2), draw(2))


def test_rows_that_cannot_be_divided_are_refused():
    with pytest.raises(ValueError, match=r"^32 rows, or sequences, of a batch cannot be divided equally among 3 replicas"):
        Replica(0, 3, lambda tensors: list(tensors)).rows(tf.zeros([32, 4]))


def test_means_are_over_all_and_those_of_gradients_are_noted():
    gradients = [tf.constant([2.0, 4.0]), tf.constant(6.0)]
    replica = Replica(0, 2, lambda tensors: [3.0 * tensor for tensor in tensors])
    with as_replica(replica):
        np.testing.assert_array_equal(mean_over_replicas(gradients)[0], [3.0, 6.0])
        assert not replica.averaged
        np.testing.assert_array_equal(mean_gradients(gradients)[1], 9.0)
        assert replica.averaged
    assert mean_gradients(gradients)[0] is gradients[0]
