"""What the features hold in addition to the state: what the torso gets of it, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from model_testing import ACTIONS, GAMMA, SIZE, targets_of

SEEDS = [0, 1]


# What the torso gets. -----------------------------------------------------------------------------------------------------


def test_the_torso_gets_every_key_but_the_mask(dqn, scope, masked):
    seen = []

    def graph_fn(mode, inputs):
        seen.append(inputs)
        return tf_keras.layers.Dense(4)(tf.concat([inputs["state"], inputs["goal"]], axis=1))

    features, labels = masked()
    goal = np.ones([SIZE, 2], np.float32)
    spec = dqn("train", scope, graph_fn=graph_fn, summaries="activations")(
        {**features, "goal": goal}, {**labels, "next_goal": goal}
    )
    assert all(inputs.keys() == {"state", "goal"} for inputs in seen)
    assert len(seen) == 4  # The online network in three modes, the target network.
    spec.train_op()
    assert any(name.startswith("activations/") for name in spec.extra_ops["summaries"].histograms)


def with_goal(mode, inputs):
    return tf_keras.layers.Dense(4, "tanh")(tf.concat([inputs["state"], inputs["goal"]], axis=1))


def test_other_keys_of_the_next_state_are_its_own(scalar_kind, scope, networks, batch):
    features, labels = batch(0, SIZE)
    goals = np.random.default_rng(0).normal(size=[2, SIZE, 2]).astype(np.float32)
    model = scalar_kind("train", scope, graph_fn=with_goal, discount=GAMMA)
    model({**features, "goal": goals[0]}, labels)
    networks.perturb_target()

    def expected(next_goal):
        next_state = {"state": labels["next_state"], "goal": next_goal}
        best = (networks.online if scalar_kind.double else networks.target)(next_state).q.numpy().argmax(axis=1)
        values = networks.target(next_state).q.numpy()[np.arange(SIZE), best]
        return labels["reward"].numpy() + GAMMA * (1 - labels["done"].numpy()) * values

    given = {**features, "goal": goals[0]}
    targets, _ = targets_of(model, given, {**labels, "next_goal": goals[1]})
    np.testing.assert_allclose(targets, expected(goals[1]), rtol=1e-4, atol=1e-5)
    targets, _ = targets_of(model, given, labels)  # Without a label of its own it stays as it is.
    np.testing.assert_allclose(targets, expected(goals[0]), rtol=1e-4, atol=1e-5)


def test_the_panels_of_values_leave_illegal_actions_out(dqn, scope, masked):
    features, labels = masked(2)
    spec = dqn("train", scope, summaries="loss")(features, labels)
    q, mask = spec.predictions["q"].numpy(), features["action_mask"].numpy()
    legal = [float(q[row, action]) for row in range(SIZE) for action in range(ACTIONS) if mask[row, action]]
    assert float(spec.extra_ops["summaries"].scalars["train/q_mean"]) == pytest.approx(np.mean(legal), abs=1e-5)
    assert float(spec.extra_ops["summaries"].scalars["train/q_max"]) == pytest.approx(max(legal), abs=1e-6)
    assert max(legal) < q.max()


# What is refused. -----------------------------------------------------------------------------------------------------------

ONES = np.ones([SIZE, ACTIONS], np.int8)
WRONG = [
    (np.ones([SIZE, ACTIONS], np.float32), TypeError, "expected bools, or integers .* got float32"),
    (np.ones([SIZE, ACTIONS + 1], np.int8), ValueError, r"expected shape .*\(24, 3\), got \(24, 4\)"),
    (np.ones([SIZE - 1, ACTIONS], np.int8), ValueError, r"got \(23, 3\)"),
    (np.ones([ACTIONS], np.int8), ValueError, r"got \(3,\)"),
]


@pytest.mark.parametrize("where", ["features", "labels"])
@pytest.mark.parametrize(("mask", "error", "words"), WRONG, ids=["floats", "actions", "rows", "rank"])
def test_a_mask_of_another_dtype_or_shape_is_refused_by_name(dqn, batch, where, mask, error, words):
    features, labels = batch(0, SIZE)
    features, labels = {**features, "action_mask": ONES}, {**labels, "next_action_mask": ONES}
    if where == "features":
        features["action_mask"] = mask
        name = r"features\['action_mask'\]"
    else:
        labels["next_action_mask"] = mask
        name = r"labels\['next_action_mask'\]"
    with pytest.raises(error, match=f"{name}: .*{words}"):
        dqn("train")(features, labels)


def test_masked_features_need_masked_labels(dqn, batch):
    features, labels = batch(0, SIZE)
    with pytest.raises(KeyError, match="'next_action_mask'"):
        dqn("train")({**features, "action_mask": ONES}, labels)


@pytest.mark.parametrize("mode", ["train", "eval", "infer"])
def test_rows_without_a_legal_action_are_named(dqn, masked, mode):
    features, _ = masked()
    mask = features["action_mask"].numpy()
    mask[[4, 17]] = 0
    with pytest.raises(ValueError, match=r"features\['action_mask'\] leaves no legal action in rows \[4, 17\]"):
        dqn(mode)({**features, "action_mask": mask})


def test_next_rows_without_a_legal_action_are_named_unless_nothing_is_bootstrapped_from_them(dqn, scope, masked, networks):
    features, labels = masked()
    assert labels["done"][6] == 1.0
    mask = labels["next_action_mask"].numpy()
    mask[[5, 6]] = 0
    model = dqn("train", scope)
    with pytest.raises(ValueError, match=r"labels\['next_action_mask'\] leaves no legal action in rows \[5\]"):
        model(features, {**labels, "next_action_mask": mask})
    discount = np.full(SIZE, GAMMA, np.float32)
    discount[5] = 0.0
    targets, spec = targets_of(model, features, {**labels, "next_action_mask": mask, "discount": discount})
    np.testing.assert_allclose(targets.numpy()[[5, 6]], labels["reward"].numpy()[[5, 6]])
    assert np.isfinite(spec.loss)


@pytest.mark.slow
def test_in_a_graph_rows_without_a_legal_action_are_an_error_too(dqn, masked):
    features, _ = masked(size=4)
    mask = features["action_mask"].numpy()
    mask[2] = 0
    model = dqn("eval")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"leaves no legal action in rows .* \[-1 -1 2 -1\]"):
        tf.function(lambda features: model(features).predictions["results"])({**features, "action_mask": mask})


@pytest.mark.parametrize("next_goal", [np.zeros([SIZE, 3], np.float32), np.zeros([SIZE, 2], np.int32)])
def test_a_label_of_a_feature_is_as_the_feature_is(dqn, batch, next_goal):
    features, labels = batch(0, SIZE)
    with pytest.raises(ValueError, match=r"labels\['next_goal'\] is .*; features\['goal'\] is float32 \(24, 2\)"):
        dqn("train", graph_fn=with_goal)(
            {**features, "goal": np.zeros([SIZE, 2], np.float32)}, {**labels, "next_goal": next_goal}
        )
