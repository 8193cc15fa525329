"""Labels: what has no meaning is refused by name and row; what a terminal state holds does not matter."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from naf_models import K

from polyrl.configs import MetricConfig
from polyrl.models import BaseQModel, DQNModel, NAFModel
from polyrl.networks import mlp

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(
    ("key", "values", "words"),
    [
        ("action", [0, 1, 5, 0, -1, 2], r"expected integers from 0 to 2; got 5 in row 2, -1 in row 4\."),
        ("reward", [0.0, INF, 0.0, NAN, 0.0, -INF], "expected finite numbers; got inf in row 1, nan in row 3, -inf in row 5"),
        ("done", [0.0, 0.5, 0.0, 0.0, 0.0, 2.0], "expected 0 or 1; got 0.5 in row 1, 2.0 in row 5"),
        (
            "discount",
            [0.0, 1.0, 2.0, 0.5, -0.1, NAN],
            r"in \[0, 1\]; got 2.0 in row 2, -0.* in row 4, nan in row 5",
        ),
        ("weights", [1.0, -1.0, INF, NAN, 0.0, 0.0], "at least 0; got -1.0 in row 1, inf in row 2, nan in row 3"),
        ("expert", [1, 0, 2, 0, 0, 0], "expected 0 or 1; got 2 in row 2"),
        ("action", [9] * 6, r"in row 4, \.\.\.\."),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_rows(head_kind, batch, mode, key, values, words):
    features, labels = batch()
    with pytest.raises(ValueError, match=rf"labels\['{key}'\]: .*{words}"):
        head_kind(mode)(features, {**labels, key: np.array(values)})


@pytest.mark.parametrize("action", [np.full(6, 0.7), np.zeros(6, np.float32), np.zeros(6, np.bool_)])
@pytest.mark.parametrize("traced", [False, True], ids=["eager", "graph"])
def test_actions_that_are_not_integers_are_refused(head_kind, batch, action, traced):
    features, labels = batch()
    model = head_kind("train")
    call = tf.function(lambda labels: model(features, labels).loss) if traced else (lambda labels: model(features, labels))
    with pytest.raises(TypeError, match=r"labels\['action'\]: expected integers, got (float|bool)"):
        call({**labels, "action": tf.constant(action)})


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("weigths", "Did you mean 'weights'"),
        ("next_foo", "unknown key 'next_foo'"),
        ("dicsount", "Did you mean 'discount'"),
        ("index_", "Did you mean 'index'"),
        ("advantage", "must be left out: a Q model computes advantages itself"),
    ],
)
@pytest.mark.parametrize("traced", [False, True], ids=["eager", "graph"])
def test_a_label_that_nothing_reads_is_refused(head_kind, batch, key, words, traced):
    features, labels = batch()
    model = head_kind("train")
    call = tf.function(lambda labels: model(features, labels).loss) if traced else (lambda labels: model(features, labels))
    with pytest.raises(ValueError, match=rf"labels.*{words}"):
        call({**labels, key: tf.zeros([6])})


def test_a_subclass_and_a_metric_may_have_labels_of_their_own(dqn, batch, scope):
    class Own(DQNModel):
        FURTHER_LABELS = ("goal",)

    features, labels = batch()
    with scope.active():
        Own("train", mlp([8]), 4, 3, summaries=[])(features, {**labels, "goal": tf.zeros([6, 2])})
    metric = MetricConfig("Mean", "labels.cost")
    assert dqn("eval", eval_metrics_config=[metric])(features, {**labels, "cost": tf.ones([6])}).eval_metric_ops


@pytest.mark.parametrize("key", ["action", "reward", "done", "next_state", "weights"])
@pytest.mark.parametrize("value", [["a"] * 6, None, [[1], [1, 2]] * 3, len, np.ones(6, np.complex64)], ids=range(5))
def test_what_is_not_an_array_of_numbers_is_refused(head_kind, batch, key, value):
    features, labels = batch()
    with pytest.raises(TypeError, match=rf"labels\['{key}'\]"):
        head_kind("train")(features, {**labels, key: value})


@pytest.mark.parametrize("labels", [3, [0, 1], tf.zeros([6])], ids=repr)
def test_labels_that_are_not_a_dict_are_refused(head_kind, batch, labels):
    with pytest.raises(TypeError, match="labels must be a dict with the keys"):
        head_kind("train")(batch()[0], labels)


def test_a_discrete_state_that_does_not_exist_is_refused():
    model = DQNModel("infer", lambda mode, x: tf.one_hot(x, 5), 5, 2, summaries=[])
    with pytest.raises(ValueError, match="expected indices from 0 to 4, by num_states; got 5 in row 1"):
        model(np.array([4, 5]))


def naf_labels(action):
    zeros = np.zeros(2, np.float32)
    return {"action": np.array(action), "reward": zeros, "done": zeros, "next_state": np.zeros([2, 4], np.float32)}


@pytest.mark.parametrize(("bad", "words"), [(1.5, r"\[0\.0, 1\.5\] in row 1"), (NAN, "nan.* in row 1"), (-2.0, "row 1")])
def test_a_continuous_action_outside_of_its_bounds_is_refused(bad, words):
    model = NAFModel("train", mlp([8]), 4, K, summaries=[])
    model(np.zeros([2, 4], np.float32), naf_labels([[0.0, 1.0], [-1.0, 1.00001]]))
    with pytest.raises(ValueError, match=rf"labels\['action'\]: expected numbers within .*{words}"):
        model(np.zeros([2, 4], np.float32), naf_labels([[0.0, 1.0], [0.0, bad]]))


def test_a_demonstrated_action_that_the_mask_forbids_is_refused(head_kind, batch):
    features, labels = batch(size=2)
    features["action_mask"] = [[1, 0, 1], [1, 0, 1]]
    labels |= {"next_action_mask": np.ones([2, 3], np.bool_), "expert": np.array([0, 1]), "action": np.array([1, 1])}
    with pytest.raises(ValueError, match=r"demonstrated actions that .*allows; got 1 in row 1"):
        head_kind("train", use_expert_demo=True)(features, labels)


def test_rewards_after_the_end_of_a_window_may_be_anything(head_kind, batch):
    features, labels = batch(size=2)
    windows = {"reward": [[1.0, NAN], [1.0, 1.0]], "done": [[1.0, 0.0], [0.0, 0.0]]}
    assert np.isfinite(head_kind("train")(features, {**labels, **{k: tf.constant(v) for k, v in windows.items()}}).loss)
    windows["reward"] = [[1.0, NAN], [1.0, NAN]]
    with pytest.raises(ValueError, match=r"labels\['reward'\].*\[1.0, nan\] in row 1"):
        head_kind("train")(features, {**labels, **{k: tf.constant(v) for k, v in windows.items()}})


# Terminal states. -------------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("bad", [NAN, *(pytest.param(bad, marks=pytest.mark.slow) for bad in (INF, -INF))])
@pytest.mark.parametrize("traced", [None, pytest.param(False, marks=pytest.mark.slow), True], ids=["eager", "graph", "xla"])
def test_what_a_terminal_state_holds_reaches_neither_loss_nor_weights(kind, batch, scope, bad, traced):
    """Rows 0 and 3 terminate: 0 times NaN would be NaN."""
    features, labels = batch()
    model = kind("train", scope, graph_fn=mlp([8], "tanh"))  # A fused relu makes 0 of NaN.
    model(features, labels)

    def learn(next_state):
        spec = model(features, {**labels, "next_state": next_state})
        spec.train_op()
        return spec.loss, spec.predictions["losses"]

    call = learn if traced is None else tf.function(learn, jit_compile=traced, autograph=False)
    rows = labels["next_state"].numpy()
    rows[[0, 3]] = bad
    loss, losses = call(tf.constant(rows))
    assert np.isfinite(losses).all()
    assert np.isfinite(loss)
    for variable in scope.parts["Model/online"].model.variables:
        assert np.isfinite(variable).all()
    rows[1] = bad
    if traced is None:
        with pytest.raises(ValueError, match=r"labels\['next_state'\]: expected finite numbers; got .* in row 1"):
            call(tf.constant(rows))
    else:
        assert not np.isfinite(call(tf.constant(rows))[0])  # Elsewhere it shows.


@pytest.mark.parametrize("mode", ["train", "eval", "infer"])
@pytest.mark.parametrize("bad", [NAN, INF])
def test_a_state_that_is_not_finite_is_refused(kind, batch, mode, bad):
    features, labels = batch()
    state = features["state"].numpy()
    state[2, 0] = bad
    with pytest.raises(ValueError, match=r"features\['state'\]: expected finite numbers; got .* in row 2"):
        kind(mode)({**features, "state": state}, None if mode == "infer" else labels)


def test_finite_numbers_in_terminal_states_do_not_matter(kind, batch):
    features, labels = batch()
    found = kind("eval")(features, labels).predictions["losses"]
    rows = labels["next_state"].numpy()
    rows[[0, 3]] = 7.0
    np.testing.assert_allclose(kind("eval")(features, {**labels, "next_state": rows}).predictions["losses"], found, rtol=1e-6)


# The base class, and sizes that are not known. --------------------------------------------------------------------------


def test_the_base_class_says_what_it_lacks(batch):
    model = BaseQModel("train", mlp([8]), 4, 3, summaries=[])
    assert model(batch()[0]).predictions["results"].shape == [6]
    with pytest.raises(NotImplementedError, match="BaseQModel must define _build_td_loss; DQNModel"):
        model(*batch())


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("xla", [False, True])
def test_naf_learns_from_batches_of_any_size(scope, xla):
    with scope.active():
        model = NAFModel("train", mlp([8]), 4, K, summaries=[])
    given = naf_labels([[0.0, 0.5], [-0.5, 0.0]])
    specs = {key: tf.TensorSpec([None, *np.shape(value)[1:]], tf.float32) for key, value in given.items()}
    signature = [tf.TensorSpec([None, 4], tf.float32), specs]

    @tf.function(jit_compile=xla, input_signature=signature, autograph=False)
    def learn(state, labels):
        spec = model(state, labels)
        spec.train_op()
        return spec.loss

    given = {key: tf.cast(value, tf.float32) for key, value in given.items()}
    assert np.isfinite(learn(tf.ones([2, 4]), given))
