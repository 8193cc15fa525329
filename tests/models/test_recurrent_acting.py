"""Recurrent models act with what they remember; sequences that are none are refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from recurrent_testing import S, T, build, sequences, walk

from polyrl.models import CategoricalDQNModel, DQNModel, R2D2Model, Scope
from polyrl.networks import Recurrent, mlp


@pytest.mark.slow
def test_acting_hands_on_what_is_remembered_and_forgets_at_the_start_of_episodes():
    scope = Scope()
    features, labels = sequences(5, ends=0.0)
    models = {mode: build(scope, mode=mode) for mode in ("train", "eval", "infer")}
    models["train"](features, labels)
    _, _, after = walk(scope.parts["Model/online"], features, labels)
    for model in models.values():
        state = features["network_state"]
        for t in range(T):
            step = {"state": features["state"][:, t], "step_type": tf.ones([S], tf.int32), "network_state": state}
            state = model(step).predictions["network_state"]
            np.testing.assert_allclose(state, after[:, t], rtol=1e-4, atol=1e-6)
        first = {**step, "step_type": tf.constant([0, 1, 0, 1])}
        fresh = model({"state": step["state"]}).predictions["network_state"].numpy()
        carried = model(step).predictions["network_state"].numpy()
        expected = np.where([[True], [False], [True], [False]], fresh, carried)
        np.testing.assert_allclose(model(first).predictions["network_state"], expected, rtol=1e-5, atol=1e-6)


def test_a_model_without_recurrent_layers_learns_from_sequences_as_from_their_steps():
    features, labels = sequences(6)
    scope = Scope()
    with scope.active():
        model = DQNModel("train", mlp([8]), 4, 3, summaries=[])
    loss = model({"state": features["state"]}, labels).loss
    flat = {name: tf.reshape(value, [S * T, *value.shape[2:]]) for name, value in labels.items() if name != "valid"}
    np.testing.assert_allclose(loss, model({"state": tf.reshape(features["state"], [S * T, 4])}, flat).loss, rtol=1e-6)
    assert "network_state" not in model({"state": features["state"][:, 0]}).predictions


@pytest.mark.parametrize("use_target_graph", [False, True])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_networks_may_be_built_by_the_first_batch(mode, use_target_graph):
    """In the middle of the passes that need them, which remember nothing of it."""
    scope = Scope()
    features, labels = sequences()
    batch = features, labels
    if mode == "eval":  # Single transitions.
        rows = {"state": features["state"][:, 0], "network_state": features["network_state"]}
        batch = rows, {name: value[:, 0] for name, value in labels.items() if name != "valid"}
    first = build(scope, mode=mode, use_target_graph=use_target_graph)(*batch).loss
    np.testing.assert_allclose(first, build(scope, mode=mode, use_target_graph=use_target_graph)(*batch).loss, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, labels: (f, {**labels, "valid": tf.ones([S])}), r"labels\['valid'\] has shape \(4,\)"),
        (lambda f, labels: (f, {**labels, "reward": tf.ones([S])}), "sequences, steps"),
        (lambda f, labels: ({**f, "network_state": tf.zeros([S, 3])}, labels), r"network_state has shape \(4, 3\)"),
    ],
)
def test_what_is_not_a_sequence_is_refused(change, message):
    model = build(Scope())
    with pytest.raises(ValueError, match=message):
        model(*change(*sequences()))


def test_another_networks_state_is_refused():
    features, labels = sequences()
    longer = tf.concat([features["network_state"]] * 2, axis=1)
    with pytest.raises(ValueError, match=r"network_state has shape \(4, 20\), and .* remember 10 numbers"):
        build(Scope())({**features, "network_state": longer}, labels)


def test_a_layer_that_is_called_twice_is_refused():
    def twice(mode, inputs):
        layer, dense = Recurrent(4), tf_keras.layers.Dense
        return layer(dense(4)(layer(dense(4)(inputs["state"]))))

    with Scope().active():
        model = DQNModel("train", twice, 4, 3, summaries=[])
        with pytest.raises(ValueError, match="remember 8 numbers, and 16 were asked for"):
            model({"state": tf.zeros([2, 4])})


def test_a_burn_in_without_memory_is_refused():
    with Scope().active(), pytest.raises(ValueError, match="burn_in=2 has no effect: the network remembers nothing"):
        DQNModel("train", mlp([4]), 4, 3, burn_in=2)({"state": tf.zeros([2, 4])})


@pytest.mark.parametrize("model_class", [DQNModel, R2D2Model])
def test_a_terminal_state_without_legal_actions_changes_nothing(model_class):
    features, labels = sequences(ends=0.8)
    mask = np.ones([S, T, 3], bool)
    losses = []
    for legal in (True, False):
        mask[labels["done"].numpy() > 0] = legal
        model = build(Scope(), model_class)
        given = {**features, "action_mask": tf.ones([S, T, 3], tf.bool)}
        losses.append(model(given, {**labels, "next_action_mask": tf.constant(mask)}).loss)
    assert (labels["done"].numpy() > 0).any()
    assert np.isfinite(losses).all()
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_a_burn_in_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="burn_in=6 must be below the 6 steps"):
        build(Scope(), burn_in=T)(*sequences())
    with pytest.raises(ValueError, match="burn_in=-1"):
        build(Scope(), burn_in=-1)


@pytest.mark.slow
def test_c51_with_windows_and_double_is_finite_and_trains():
    scope = Scope()
    model = build(scope, CategoricalDQNModel, double=True, num_atoms=5, min_q_value=-2.0, max_q_value=2.0)
    features, labels = sequences()
    before = float(model(features, labels).loss)
    for _ in range(10):
        model(features, labels).train_op()
    assert float(model(features, labels).loss) < before
