"""NAF: what it predicts, its loss, and how it learns."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from naf_models import HIGH, LOW, PLACES, ROWS, STATES, K, advantages, forward, naf, rescaled

from polyrl.configs import MeanSquaredErrorConfig, SGDConfig
from polyrl.models import NAFModel, QModelSpec, Scope
from polyrl.policies import BoundedTensorSpec

# Predictions. -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["train", "eval", "infer"])
def test_predictions_without_labels(scope, networks, lively, batch_of, mode):
    """B5: value, mean and triangle are all there in each mode, `infer` too; `q` is of the action in `results`."""
    features, labels = batch_of()
    naf("train", scope)(features, labels)
    lively()
    predictions = naf(mode, scope)(features).predictions
    shapes = {"results": (ROWS, K), "mean": (ROWS, K), "q": (ROWS,), "a": (ROWS,), "v": (ROWS,), "graph_results": (ROWS, 8)}
    assert {name: tuple(value.shape) for name, value in predictions.items()} == shapes
    assert all(value.dtype == tf.float32 for value in predictions.values())
    mean, value, _ = forward(networks.online, features["state"])
    np.testing.assert_allclose(predictions["mean"], rescaled(mean), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(predictions["v"], value, rtol=1e-4, atol=1e-4)
    expected = advantages(networks.online, features["state"], predictions["results"])
    np.testing.assert_allclose(predictions["a"], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(predictions["q"], value + expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_mean_has_the_largest_value_of_all_actions(scope, lively, batch_of):
    features, labels = batch_of()
    model = naf("eval", scope)
    model(features, labels)
    naf("train", scope)(features, labels)
    lively()
    predictions = model(features).predictions
    np.testing.assert_array_equal(predictions["results"], predictions["mean"])
    np.testing.assert_allclose(predictions["a"], np.zeros(ROWS), atol=1e-5)
    np.testing.assert_allclose(predictions["q"], predictions["v"], rtol=1e-5, atol=1e-5)
    for seed in range(20):
        action = tf.constant(np.random.default_rng(seed).uniform(LOW, HIGH, [ROWS, K]), tf.float32)
        others = model(features, {**labels, "action": action}).predictions
        assert (others["q"].numpy() < predictions["v"].numpy()).all()


@pytest.mark.parametrize("k", PLACES)
def test_with_labels_the_value_is_that_of_their_action(scope, networks, lively, batch_of, k):
    """B1, B2: for one, two and three numbers."""
    features, labels = batch_of(k=k)
    naf("train", scope, k=k)(features, labels)
    lively()
    predictions = naf("eval", scope, k=k)(features, labels).predictions
    low, high = (LOW, HIGH) if k == K else ([-1.0] * k, [1.0] * k)
    _, value, _ = forward(networks.online, features["state"])
    expected = advantages(networks.online, features["state"], labels["action"], low, high)
    assert np.unique(expected.round(4)).size == ROWS
    np.testing.assert_allclose(predictions["a"], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(predictions["q"], value + expected, rtol=1e-3, atol=1e-3)
    assert predictions["td_error"].shape == predictions["losses"].shape == (ROWS,)


@pytest.mark.parametrize(("low", "high"), [(LOW, HIGH), (-3.0, 0.5), ([-1e-3, 5.0], 7.0), (-0.1, 0.7)])
def test_the_mean_keeps_to_the_bounds_of_each_dimension(scope, networks, batch, low, high):
    """B6: whatever the network gives, and to the last bit."""
    model = naf("eval", scope, action_low=low, action_high=high)
    features = batch(size=400)[0]
    model(features)
    bias = networks.online.labelled_variables()["mean/bias"]
    lows, highs = np.broadcast_to(low, [K]).astype(np.float32), np.broadcast_to(high, [K]).astype(np.float32)
    for push, end in ((-1e9, lows), (1e9, highs), (0.0, (lows.astype(np.float64) + highs) / 2)):
        bias.assign(tf.fill([K], push))
        mean = model(features).predictions["mean"].numpy()
        assert (mean >= lows).all()
        assert (mean <= highs).all()
        np.testing.assert_allclose(mean, np.broadcast_to(end, mean.shape), atol=0.02 * (highs - lows).max())


def test_at_first_all_actions_are_near_the_middle(batch):
    predictions = naf("eval")(batch(size=100)[0]).predictions
    np.testing.assert_allclose(predictions["mean"], np.broadcast_to([0.0, 5.0], [100, K]), atol=0.2)


def test_the_spec_of_its_actions():
    model = naf()
    expected = BoundedTensorSpec((K,), tf.float32, LOW, HIGH, name="action")
    assert model.action_spec == expected
    assert naf(action_low=-1, action_high=1).action_spec.minimum == (-1.0, -1.0)
    given = {"action_low": np.array(LOW, np.float32), "action_high": np.array(HIGH)}  # As a Box has them.
    assert naf(**given).action_spec == expected


def test_one_graph_function_builds_all_heads():
    """B5: and the target network has them too, since it is built by the same function."""
    with Scope().active():
        model = NAFModel("train", lambda mode, inputs: 2.0 * inputs["state"], STATES, 3, summaries=[])
    spec = model._build_graph_fn()("train", {"state": tf.ones([5, STATES])})
    assert isinstance(spec, QModelSpec)
    assert (spec.a.shape, spec.v.shape, spec.q.shape, spec.scale.shape) == ((5, 3), (5, 1), (5,), (5, 6))


# Learning. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_target_graph", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_loss_is_that_of_numpy_with_networks_that_differ(scope, networks, lively, batch_of, use_target_graph, seed):
    """B4, B9 (A2, A3): row by row against `r + gamma (1 - done) V_target(s')`, of the labels' next states."""
    features, labels = batch_of(seed)
    arguments = {"discount": 0.9, "loss_config": MeanSquaredErrorConfig()}
    naf("train", scope, **arguments)(features, labels)
    lively(seed)
    spec = naf("train", scope, use_target_graph=use_target_graph, **arguments)(features, labels)
    _, value, _ = forward(networks.online, features["state"])
    bootstrap = networks.target if use_target_graph else networks.online
    _, next_value, _ = forward(bootstrap, labels["next_state"])
    prediction = value + advantages(networks.online, features["state"], labels["action"])
    errors = []
    for row in range(ROWS):
        gamma = 0.0 if labels["done"][row] else 0.9
        errors.append(float(labels["reward"][row]) + gamma * next_value[row] - prediction[row])
    assert 0 < float(tf.reduce_sum(labels["done"])) < ROWS
    np.testing.assert_allclose(spec.predictions["td_error"], errors, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(spec.predictions["losses"], np.square(errors), rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(spec.loss, np.mean(np.square(errors)), rtol=2e-3)
    np.testing.assert_allclose(spec.extra_ops["priorities"], np.abs(errors), rtol=1e-3, atol=1e-3)


def test_importance_weights_weigh_the_rows(scope, lively, batch_of):
    features, labels = batch_of(weights=np.arange(ROWS, dtype=np.float32))
    naf("train", scope)(features, labels)
    lively()
    spec = naf("train", scope)(features, labels)
    np.testing.assert_allclose(spec.loss, np.mean(spec.predictions["losses"] * np.arange(ROWS)), rtol=1e-5)


def test_an_update_trains_all_heads_of_the_online_network_and_nothing_of_the_target(scope, networks, lively, batch_of, equal):
    """B9 (A2): the target network is none of the loss's business."""
    features, labels = batch_of()
    model = naf("train", scope, optimizer_config=SGDConfig(0.1), target_update_frequency=2)
    model(features, labels)
    lively()
    online, target = networks.weights(), networks.weights("target")
    model(features, labels).train_op()
    assert equal(networks.weights("target"), target)
    for label, variable, before in zip(networks.online.labelled_variables(), networks.weights(), online, strict=True):
        assert not np.array_equal(variable, before), label
    model(features, labels).train_op()
    assert equal(networks.weights("target"), networks.weights())


@pytest.mark.slow
def test_many_updates_on_one_batch_bring_the_values_to_their_targets(batch_of):
    features, labels = batch_of(done=np.ones(ROWS, np.float32))
    model = naf(optimizer_config=SGDConfig(0.05), clip_gradients=None)
    step = tf.function(lambda: (model(features, labels).train_op(), model(features, labels).loss)[1], autograph=False)
    losses = [float(step()) for _ in range(300)]
    assert losses[-1] < 0.2 * losses[0]


def test_windows_of_several_steps_are_reduced(scope, lively, batch_of):
    """By hand: 3 steps, none of which ends."""
    features, labels = batch_of()
    reward = np.random.default_rng(1).normal(size=[ROWS, 3]).astype(np.float32)
    window = {**labels, "reward": tf.constant(reward), "done": tf.zeros([ROWS, 3])}
    model = naf("train", scope, discount=0.9)
    model(features, labels)
    lively()
    total = reward[:, 0] + 0.9 * reward[:, 1] + 0.81 * reward[:, 2]
    single = {**labels, "reward": tf.constant(total), "done": tf.zeros([ROWS]), "discount": tf.fill([ROWS], 0.9**3)}
    found, expected = (model(features, given).predictions["td_error"] for given in (window, single))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
