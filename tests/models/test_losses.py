"""The losses of the Q models, against a count by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from model_testing import GAMMA, SMALL, huber

from polyrl.configs import (
    HuberLossConfig,
    LogCoshConfig,
    MeanAbsoluteErrorConfig,
    MeanSquaredErrorConfig,
    SGDConfig,
)
from polyrl.models import Scope

layers = tf_keras.layers
SEEDS = [0, 1, 2]


@pytest.mark.parametrize(("mode", "seed"), [("train", 0), ("train", 1), ("eval", 2)])
def test_the_loss_is_the_textbook_one_of_two_different_networks(kind, differing, batch, expected_losses, mode, seed):
    model = differing(kind, mode)
    features, labels = batch(seed, size=12)
    spec = model(features, labels)
    expected = expected_losses(kind, features, labels)
    np.testing.assert_allclose(spec.predictions["losses"], expected, rtol=1e-4, atol=SMALL)
    np.testing.assert_allclose(spec.loss, expected.mean(), rtol=1e-4)


def test_without_a_target_graph_the_online_network_bootstraps(kind, scope, batch, expected_losses):
    model = kind("train", scope, discount=GAMMA, use_target_graph=False, target_update_frequency=1)
    for seed in SEEDS:
        features, labels = batch(seed)
        spec = model(features, labels)
        expected = expected_losses(kind, features, labels, use_target=False)
        np.testing.assert_allclose(spec.predictions["losses"], expected, rtol=1e-4, atol=SMALL)
        spec.train_op()
    assert "Model/target" not in scope.parts


def test_the_double_kinds_choose_by_the_online_network_and_value_by_the_target(differing, scope, networks, batch, c51):
    """Where the two networks disagree about the best action, double and plain losses differ; elsewhere they are one."""
    double = c51._replace(arguments={**c51.arguments, "double": True}, double=True)
    features, labels = batch(4, size=40, done=np.zeros(40, np.float32))
    model = differing(double)
    plain = c51("train", scope, discount=GAMMA)
    next_state = {"state": labels["next_state"]}
    online, target = (network(next_state).q for network in (networks.online, networks.target))
    agree = np.argmax(online, axis=1) == np.argmax(target, axis=1)
    assert 0 < agree.sum() < 40
    gap = np.abs(model(features, labels).predictions["losses"] - plain(features, labels).predictions["losses"])
    np.testing.assert_allclose(gap[agree], 0.0, atol=SMALL)
    assert (gap[~agree] > 1e-4).all()


def test_done_rows_do_not_bootstrap_and_truncated_rows_do(kind, differing, batch):
    """A14: a truncated episode is not done; it keeps its bootstrap."""
    done = np.array([1, 0, 1, 0, 0, 1], np.float32)
    features, labels = batch(1, done=done)
    model = differing(kind)
    losses = model(features, labels).predictions["losses"].numpy()
    other = {**labels, "next_state": labels["next_state"] * -2.0 + 1.0}
    changed = np.abs(model(features, other).predictions["losses"].numpy() - losses) > SMALL
    np.testing.assert_array_equal(changed, done == 0)


@pytest.mark.default_cases(2)
def test_a_row_is_compared_with_its_own_next_state_and_no_row_is_dropped(kind, differing, batch):
    """A3, A4: the successor of a row is its `next_state`, not the row after it."""
    features, labels = batch(2, size=7)
    model = differing(kind)
    losses = model(features, labels).predictions["losses"].numpy()
    order = np.random.default_rng(0).permutation(7)
    shuffled = {key: tf.gather(value, order) for key, value in labels.items()}
    permuted = model({"state": tf.gather(features["state"], order)}, shuffled).predictions["losses"]
    np.testing.assert_allclose(permuted, losses[order], rtol=1e-5, atol=SMALL)
    for row in range(7):
        one = {key: value[row : row + 1] for key, value in labels.items()}
        alone = model({"state": features["state"][row : row + 1]}, one)
        np.testing.assert_allclose(alone.loss, losses[row], rtol=1e-4, atol=SMALL)


def test_an_empty_batch_is_refused(head_kind, scope, batch):
    """A4: a loss over no rows is NaN."""
    model = head_kind("train", scope)
    model(*batch())
    with pytest.raises(ValueError, match=r"batch|empty|rows"):
        model(*batch(size=0))


def test_importance_weights_count_in_the_mean_and_nowhere_else(kind, differing, batch):
    """A20: one weight for each row."""
    features, labels = batch(3)
    model = differing(kind)
    plain = model(features, labels)
    weights = np.array([0.0, 1.0, 2.0, 0.5, 0.0, 3.0], np.float32)
    weighted = model(features, {**labels, "weights": weights})
    np.testing.assert_array_equal(weighted.predictions["losses"], plain.predictions["losses"])
    np.testing.assert_array_equal(weighted.predictions["td_error"], plain.predictions["td_error"])
    np.testing.assert_allclose(weighted.loss, np.mean(weights * plain.predictions["losses"]), rtol=1e-5)
    np.testing.assert_allclose(model(features, {**labels, "weights": np.ones(6)}).loss, plain.loss, rtol=1e-6)


def test_rows_of_weight_zero_do_not_train(head_kind, batch, networks_of):
    def trained(labels, weights):
        scope = Scope()
        model = head_kind("train", scope, optimizer_config=SGDConfig(0.5))
        model(features, {**labels, "weights": weights}).train_op()
        return networks_of(scope).trained()

    features, labels = batch()
    weights = np.array([1, 0, 1, 0, 0, 1], np.float32)
    other = {**labels, "reward": tf.where(weights > 0, labels["reward"], 9.0)}
    for first, second in zip(trained(labels, weights), trained(other, weights), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_shows_in_the_loss_where_numbers_are_not_checked(head_kind, batch, wrong):
    features, labels = batch()
    model = head_kind("train", Scope())
    weights = tf.constant([1.0, wrong, 1.0, 1.0, 1.0, 1.0])
    loss = tf.function(lambda weights: model(features, {**labels, "weights": weights}).loss, autograph=False)(weights)
    assert not np.isfinite(loss)


def test_a_discount_for_each_row_overrides_gamma(kind, differing, batch, expected_losses):
    features, labels = batch(5)
    labels["discount"] = tf.constant([0.0, 0.5, 0.99, 1.0, 0.2, 0.7])
    losses = differing(kind)(features, labels).predictions["losses"]
    np.testing.assert_allclose(losses, expected_losses(kind, features, labels), rtol=1e-4, atol=SMALL)
    by_gamma = expected_losses(kind, features, {**labels, "discount": GAMMA})
    assert abs(losses.numpy() - by_gamma)[4] > 0.01


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_the_discount_is_the_models_where_no_label_gives_it(head_kind, scope, batch, networks, expected_losses, gamma):
    features, labels = batch(6)
    model = head_kind("eval", scope, discount=gamma)
    model(features, labels)
    networks.perturb_target()
    expected = expected_losses(head_kind, features, labels, gamma=gamma)
    np.testing.assert_allclose(model(features, labels).predictions["losses"], expected, rtol=1e-4, atol=SMALL)


def test_the_default_loss_is_huber_with_delta_one(scalar_kind, scope, batch):
    """A13: linear beyond an error of one, half the square below."""
    features, labels = batch(reward=np.array([8, -9, 0.1, 0.2, 30, -40], np.float32), done=np.ones(6, np.float32))
    predictions = scalar_kind("eval", scope)(features, labels).predictions
    error = labels["reward"].numpy() - predictions["q"].numpy()[np.arange(6), labels["action"].numpy()]
    assert (np.abs(error) > 1).sum() >= 4
    np.testing.assert_allclose(predictions["td_error"], error, rtol=1e-5)
    expected = np.where(np.abs(error) < 1, error**2 / 2, np.abs(error) - 0.5)
    np.testing.assert_allclose(predictions["losses"], expected, rtol=1e-5)


@pytest.mark.default_cases(4)
@pytest.mark.parametrize(
    ("config", "loss"),
    [
        (HuberLossConfig(delta=2.0), lambda x: huber(x, 2.0)),
        (MeanSquaredErrorConfig(), np.square),
        (MeanAbsoluteErrorConfig(), np.abs),
        (LogCoshConfig(), lambda x: np.logaddexp(x, -x) - np.log(2.0)),
    ],
    ids=lambda value: getattr(value, "IDENTIFIER", ""),
)
def test_loss_config_decides_the_loss(scalar_kind, differing, batch, expected_losses, config, loss):
    features, labels = batch(7, reward=np.linspace(-6, 6, 6, dtype=np.float32))
    losses = differing(scalar_kind, loss_config=config)(features, labels).predictions["losses"]
    np.testing.assert_allclose(losses, expected_losses(scalar_kind, features, labels, loss=loss), rtol=1e-4, atol=SMALL)


def test_td_error_is_the_target_less_the_value_of_the_action_taken(kind, differing, batch):
    features, labels = batch(8, done=np.ones(6, np.float32), reward=np.full(6, 1.5, np.float32))
    predictions = differing(kind)(features, labels).predictions
    taken = predictions["q"].numpy()[np.arange(6), labels["action"].numpy()]
    np.testing.assert_allclose(predictions["td_error"], 1.5 - taken, rtol=1e-4, atol=SMALL)
