"""Layers that act otherwise in training, and regularisation."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from model_testing import SMALL, updating

from polyrl.models import Scope

layers = tf_keras.layers
SEEDS = [0, 1, 2]


def dropout_torso(mode, inputs):
    return layers.Dropout(0.5)(layers.Dense(32)(inputs["state"]))


def test_dropout_acts_in_the_update_and_nowhere_else(kind, scope, batch):
    """A16: acting, evaluation and the bootstrap are in inference mode."""
    features, labels = batch()
    arguments = {"graph_fn": dropout_torso}
    learning = kind("train", scope, **arguments)
    passes = [learning(features, labels).predictions for _ in range(3)]
    assert not np.allclose(passes[0]["q"], passes[1]["q"])
    for mode, given in (("train", None), ("eval", None), ("eval", labels), ("infer", None)):
        model = kind(mode, scope, **arguments)
        first, second = (model(features, given).predictions["q"].numpy() for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert not np.allclose(first, passes[0]["q"])


def test_the_bootstrap_is_deterministic_under_dropout(kind, scope, batch):
    """A16: target, and the online network where it chooses the next action."""
    features, labels = batch(done=np.zeros(6, np.float32))
    model = kind("train", scope, graph_fn=dropout_torso, discount=1.0)
    targets = []
    for _ in range(3):
        predictions = model(features, labels).predictions
        taken = predictions["q"].numpy()[np.arange(6), labels["action"].numpy()]
        targets.append(predictions["td_error"].numpy() + taken)
    np.testing.assert_allclose(targets[0], targets[1], rtol=1e-4, atol=SMALL)
    np.testing.assert_allclose(targets[0], targets[2], rtol=1e-4, atol=SMALL)


@pytest.mark.slow
def test_dropout_follows_from_the_seed_of_the_scope(dqn, batch, compilations):
    """One root seed, one run: the masks too."""

    def losses():
        model = dqn("train", Scope(seed=4), graph_fn=dropout_torso)
        update = compilations["function"](updating(model))
        return [float(update(*batch())) for _ in range(3)]

    assert losses() == losses()


def norm_torso(mode, inputs):
    return layers.BatchNormalization(momentum=0.9)(inputs["state"])


def moving_mean(network):
    return network.labelled_variables()["batch_normalization/moving_mean"].numpy()


def test_one_update_moves_the_batch_norm_statistics_once_by_the_states_alone(head_kind, scope, batch, networks):
    """A16: the next states do not count."""
    features, labels = batch(next_state=np.full([6, 4], 50.0, np.float32))
    head_kind("train", scope, graph_fn=norm_torso)(features, labels).train_op()
    expected = 0.1 * features["state"].numpy().mean(axis=0)
    np.testing.assert_allclose(moving_mean(networks.online), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("compilation", ["eager", "function"])
def test_the_target_networks_batch_norm_statistics_move_by_copying_alone(
    dqn, scope, batch, networks, compilations, compilation
):
    """A16: from the first update on, eager or not."""
    update = compilations[compilation](updating(dqn("train", scope, graph_fn=norm_torso, target_update_frequency=2)))
    update(*batch())
    np.testing.assert_array_equal(moving_mean(networks.target), 0.0)
    update(*batch())
    np.testing.assert_array_equal(moving_mean(networks.target), moving_mean(networks.online))
    assert np.abs(moving_mean(networks.target)).min() > 0.0


def test_acting_and_evaluating_leave_the_batch_norm_statistics_alone(head_kind, scope, batch, networks):
    """A16."""
    features, labels = batch()
    for mode, given in (("train", None), ("eval", labels), ("eval", None), ("infer", None)):
        head_kind(mode, scope, graph_fn=norm_torso)(features, given)
    np.testing.assert_array_equal(moving_mean(networks.online), 0.0)
    np.testing.assert_array_equal(moving_mean(networks.target), 0.0)


def test_the_batch_norm_statistics_do_not_move_before_train_op_is_called(dqn, scope, batch, networks):
    spec = dqn("train", scope, graph_fn=norm_torso)(*batch())
    np.testing.assert_array_equal(moving_mean(networks.online), 0.0)
    spec.train_op()
    assert np.abs(moving_mean(networks.online)).min() > 0.0


def test_regularisation_enters_the_training_loss_once_and_no_other(dqn, scope, batch, networks, compiled):
    """A17: the online network's alone."""

    def graph_fn(mode, inputs):
        return layers.Dense(8, kernel_regularizer=tf_keras.regularizers.l2(0.1))(inputs["state"])

    learning, evaluating = (dqn(mode, scope, graph_fn=graph_fn) for mode in ("train", "eval"))

    def losses(features, labels):
        spec = learning(features, labels)
        return spec.loss, evaluating(features, labels).loss, spec.predictions["losses"]

    losses = compiled(losses)
    for _ in range(2):
        trained, evaluated, rows = losses(*batch())
        kernel = networks.online.labelled_variables()["dense/kernel"].numpy()
        np.testing.assert_allclose(trained - evaluated, 0.1 * np.square(kernel).sum(), rtol=1e-4)
        np.testing.assert_allclose(evaluated, np.mean(rows), rtol=1e-5)
        networks.perturb_target()


def test_regularisation_of_activities_is_of_the_states_and_not_of_the_next_states(dqn, scope, batch, networks, compiled):
    def graph_fn(mode, inputs):
        return layers.Dense(8, activity_regularizer=tf_keras.regularizers.l2(0.1))(inputs["state"])

    features, labels = batch(next_state=np.full([6, 4], 9.0, np.float32))
    learning = dqn("train", scope, graph_fn=graph_fn)

    def losses(features, labels):
        spec = learning(features, labels)
        return spec.loss, tf.reduce_mean(spec.predictions["losses"])

    loss, mean = compiled(losses)(features, labels)
    activities = networks.online(features).graph_outputs.numpy()
    np.testing.assert_allclose(loss - mean, 0.1 * np.square(activities).sum() / 6, rtol=1e-3)


def test_regularisation_is_not_scaled_by_the_importance_weights(dqn, scope, batch, networks):
    def graph_fn(mode, inputs):
        return layers.Dense(8, kernel_regularizer=tf_keras.regularizers.l2(0.1))(inputs["state"])

    features, labels = batch()
    loss = dqn("train", scope, graph_fn=graph_fn)(features, {**labels, "weights": np.zeros(6)}).loss
    kernel = networks.online.labelled_variables()["dense/kernel"].numpy()
    np.testing.assert_allclose(loss, 0.1 * np.square(kernel).sum(), rtol=1e-5)
