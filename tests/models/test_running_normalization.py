"""`RunningNormalization`: the statistics of all that was learned from, and only of that."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from polyrl.models import DQNModel, Scope
from polyrl.networks import RunningNormalization, mlp

RNG = np.random.default_rng(0)


def data(rows, scale=(1.0, 100.0, 1e-3), offset=(0.0, 50.0, -2.0)):
    return (RNG.normal(size=[rows, 3]) * scale + offset).astype(np.float32)


def test_the_statistics_are_those_of_all_rows_whatever_the_batches():
    layer, batches = RunningNormalization(), [data(rows) for rows in (1, 7, 64, 3, 200)]
    for batch in batches:
        layer(batch, training=True)
    everything = np.concatenate(batches).astype(np.float64)
    np.testing.assert_allclose(layer.mean, everything.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(layer.variance, everything.var(axis=0), rtol=1e-3)
    assert float(layer.count) == len(everything)


def test_the_output_is_normalised_and_clipped():
    layer = RunningNormalization(limit=2.0)
    layer(data(5_000), training=True)
    found = layer(data(5_000)).numpy()
    assert np.abs(found.mean(axis=0)).max() < 0.1
    assert np.abs(found).max() == 2.0
    np.testing.assert_allclose(np.median(np.abs(found), axis=0), np.full(3, 0.6745), atol=0.05)


@pytest.mark.parametrize("training", [False, None])
def test_outside_of_training_nothing_changes(training):
    layer = RunningNormalization()
    layer(data(10), training=True)
    before = [weight.numpy() for weight in layer.weights]
    layer(data(10), training=training)
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_after_a_million_rows_old_ones_fade():
    layer = RunningNormalization()
    layer(data(10), training=True)
    layer.count.assign(2e6)
    layer(data(10), training=True)
    assert float(layer.count) == 1e6


def test_bytes_are_numbers():
    layer = RunningNormalization()
    found = layer(np.array([[0, 255]], np.uint8), training=True)
    assert found.dtype == tf.float32


def test_in_a_model_an_update_moves_them_and_nothing_else_does(batch, networks_of):
    scope = Scope()
    with scope.active():
        model = DQNModel("train", mlp([8], normalize_inputs=True), 4, 3, summaries=[], target_update_frequency=2)
    networks = networks_of(scope)
    features, labels = batch(size=32)

    def statistics(role):
        weights = getattr(networks, role).labelled_variables()
        return {name: value.numpy() for name, value in weights.items() if "normalization" in name}

    model(features)
    spec = model(features, labels)
    assert all(float(value) == 0.0 for name, value in statistics("online").items() if name.endswith("count"))
    spec.train_op()
    found = statistics("online")
    state = features["state"].numpy()
    np.testing.assert_allclose(found["running_normalization/mean"], state.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["running_normalization/variance"], state.var(axis=0), rtol=1e-4)
    assert float(statistics("target")["running_normalization/count"]) == 0.0
    model(features, labels).train_op()
    assert float(statistics("target")["running_normalization/count"]) == 64.0


def test_it_is_copied_from_its_config():
    copy = RunningNormalization.from_config(RunningNormalization(limit=3.0, epsilon=0.1).get_config())
    assert (copy.limit, copy.epsilon) == (3.0, 0.1)
    assert isinstance(copy, tf_keras.layers.Layer)
