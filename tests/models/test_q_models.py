"""The Q models: what they predict, what their metrics report, and that all ways to run them agree."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from model_testing import softmax, updating

from polyrl.configs import (
    MetricConfig,
)
from polyrl.models import Scope
from polyrl.networks import mlp

layers = tf_keras.layers
SEEDS = [0, 1, 2]


# Predictions ----------------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(9)
@pytest.mark.parametrize("dueling", ["mean", None])
@pytest.mark.parametrize(
    ("mode", "learning"), [("train", True), ("train", False), ("eval", True), ("eval", False), ("infer", False)]
)
def test_predictions_have_the_documented_keys_and_shapes(head_kind, batch, mode, learning, dueling):
    features, labels = batch(size=5)
    predictions = head_kind(mode, dueling=dueling)(features, labels if learning else None).predictions
    atoms = [11] if head_kind.categorical else []
    shapes = {"results": [5], "q": [5, 3], "a": [5, 3, *atoms], "graph_results": [5, 8]}
    if dueling is not None:
        shapes["v"] = [5, 1, *atoms]
    if learning:
        shapes |= {"td_error": [5], "losses": [5]}
    if head_kind.categorical:
        shapes |= {"probabilities": [5, 3, 11], "support": [11]}
    assert {key: value.shape.as_list() for key, value in predictions.items()} == shapes
    assert predictions["results"].dtype == tf.int32
    assert all(value.dtype == tf.float32 for key, value in predictions.items() if key != "results")


@pytest.mark.parametrize("seed", SEEDS)
def test_c51_values_are_the_expectations_of_its_probabilities(c51, batch, seed):
    predictions = c51("eval")(batch(seed)[0]).predictions
    np.testing.assert_allclose(predictions["support"], np.linspace(-2.0, 3.0, 11), rtol=1e-6)
    np.testing.assert_allclose(tf.reduce_sum(predictions["probabilities"], axis=2), np.ones([6, 3]), rtol=1e-5)
    expected = np.asarray(predictions["probabilities"]) @ np.linspace(-2.0, 3.0, 11)
    np.testing.assert_allclose(predictions["q"], expected, rtol=1e-4, atol=1e-5)


def test_a_two_layer_network_gives_what_its_weights_say(dqn, scope, batch, networks):
    state, predictions = batch()[0]["state"].numpy(), dqn("eval", scope, dueling=None)(batch()[0]).predictions
    (kernel, bias), (head, head_bias) = np.split(np.array(networks.weights(), dtype=object), 2)
    torso = np.maximum(state @ kernel + bias, 0.0)
    np.testing.assert_allclose(predictions["graph_results"], torso, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(predictions["q"], torso @ head + head_bias, rtol=1e-5, atol=1e-6)


@pytest.mark.default_cases(11)
@pytest.mark.parametrize("dueling", [True, "mean", "max", "naive", None, False])
def test_dueling_combines_the_heads_as_documented(kind, batch, dueling):
    """A10: `dueling=False` leaves the value head out, as None does. C51 combines logits, atom by atom over the actions."""
    predictions = kind("eval", dueling=dueling)(batch()[0]).predictions
    a = np.asarray(predictions["a"])
    assert ("v" in predictions) == (dueling not in (None, False))
    v = np.asarray(predictions.get("v", 0.0))
    combined = {
        "mean": v + a - a.mean(axis=1, keepdims=True),
        "max": v + a - a.max(axis=1, keepdims=True),
        "naive": v + a,
    }.get(dueling, a)
    q = softmax(combined) @ np.linspace(-2.0, 3.0, 11) if kind.categorical else combined
    np.testing.assert_allclose(predictions["q"], q, rtol=1e-4, atol=1e-5)


def test_a_bare_state_batch_does_as_well_as_a_dict(head_kind, batch):
    features, labels = batch()
    of_dict, of_tensor = (head_kind("train")(given, labels) for given in (features, features["state"]))
    assert of_dict.loss == of_tensor.loss
    np.testing.assert_array_equal(of_dict.predictions["q"], of_tensor.predictions["q"])


@pytest.mark.parametrize("dtype", [np.float64, np.int64, bool])
def test_labels_of_other_number_types_give_the_same_loss(dqn, scope, batch, dtype):
    model = dqn("eval", scope)
    features, labels = batch()
    given = {**labels, "done": labels["done"].numpy().astype(dtype), "action": labels["action"].numpy().astype(int)}
    assert model(features, given).loss == model(features, labels).loss


def test_graph_fn_is_called_by_position_once_for_each_network_and_mode_that_it_is_used_in(dqn, scope, batch):
    calls = []

    def graph_fn(whatever, its_name_is):
        calls.append(whatever)
        return layers.Dense(4)(its_name_is["state"])

    for mode in ("infer", "eval", "train"):
        dqn(mode, scope, graph_fn=graph_fn)(batch()[0])
    assert calls == ["train", "eval", "infer", "train"]  # The online network, the target network.
    for mode in ("train", "eval", "eval"):
        dqn(mode, scope, graph_fn=graph_fn)(*batch())
    assert calls == ["train", "eval", "infer", "train", "eval"]


def test_calling_again_in_any_mode_finds_the_same_networks(head_kind, scope, batch):
    features, labels = batch()
    model = head_kind("train", scope)
    q = model(features, labels).predictions["q"]
    parts = dict(scope.parts)
    for again in (model, head_kind("train", scope), head_kind("eval", scope), head_kind("infer", scope)):
        # Heads of few units multiply in another order while they learn.
        np.testing.assert_allclose(again(features).predictions["q"], q, rtol=1e-5, atol=1e-7)
    head_kind("eval", scope)(features, labels)
    model(features, labels)
    assert set(parts) == {"Model/online", "Model/target", "Model/fused_step"}
    assert set(scope.parts) == set(parts)
    assert all(scope.parts[name] is part for name, part in parts.items())


# Evaluation metrics ---------------------------------------------------------------------------------------------------


def test_eval_metrics_report_what_they_are_asked_for_over_all_batches(head_kind, scope, batch):
    configs = [
        MetricConfig("Mean", "losses"),
        MetricConfig("Mean", "labels.reward", name="reward"),
        MetricConfig("MeanSquaredError", "labels.done", target="labels.reward", name="distance"),
    ]
    model = head_kind("eval", scope, eval_metrics_config=configs)
    specs = [model(*batch(seed)) for seed in (0, 1)]
    values = {key: float(metric.result()) for key, metric in specs[1].eval_metric_ops.items()}
    labels = [batch(seed)[1] for seed in (0, 1)]
    assert set(values) == {"Mean_losses", "reward", "distance"}
    np.testing.assert_allclose(values["Mean_losses"], np.mean([spec.loss for spec in specs]), rtol=1e-5)
    np.testing.assert_allclose(values["reward"], np.mean([y["reward"] for y in labels]), rtol=1e-5)
    distances = [np.square(y["reward"] - y["done"]) for y in labels]
    np.testing.assert_allclose(values["distance"], np.mean(distances), rtol=1e-5)


def test_eval_metrics_belong_to_eval_alone(dqn, scope, batch):
    spec = dqn("train", scope, eval_metrics_config=[MetricConfig()])(*batch())
    assert spec.eval_metric_ops == {}
    assert dqn("eval", scope, eval_metrics_config=[MetricConfig()])(batch()[0]).eval_metric_ops == {}


def test_a_metric_of_an_unknown_value_lists_those_there_are(dqn, batch):
    model = dqn("eval", eval_metrics_config=[MetricConfig("Mean", "los")])
    with pytest.raises(KeyError, match=r"asks for 'los'; there are .*'losses'"):
        model(*batch())


# Compiled and not -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dqn", pytest.param("ddqn", marks=pytest.mark.slow), "c51_double"], indirect=True)
def test_twenty_updates_are_the_same_eager_traced_and_compiled(kind, batch, networks_of, compilations):
    results = {}
    for name, compiled in compilations.items():
        scope = Scope(seed=3)
        update = compiled(updating(kind("train", scope, target_update_frequency=7)))
        losses = [float(update(*batch(seed))) for seed in range(20)]
        results[name] = [np.array(losses), *networks_of(scope).everything()]
    for name in ("function", "xla"):
        for first, second in zip(results["eager"], results[name], strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-5)


def test_the_same_seed_gives_the_same_ten_updates_bit_for_bit(head_kind, batch, networks_of, equal):
    def run():
        scope = Scope(seed=5)
        update = updating(head_kind("train", scope))
        for step in range(10):
            update(*batch(step))
        return networks_of(scope).everything()

    assert equal(run(), run())


def test_a_deep_torso_trains_in_every_layer(head_kind, scope, batch, networks):
    model = head_kind("train", scope, graph_fn=mlp([8, 8, 8], activation="tanh"))
    model(*batch())
    before = networks.weights()
    model(*batch()).train_op()
    assert not any(np.array_equal(a, b) for a, b in zip(before, networks.weights(), strict=True))
