"""`EstimatorSpec`: what each mode requires and forbids, and the message of each error."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import tensorflow as tf
import tf_keras

from polyrl.spec import EstimatorSpec

LOSS = tf.constant(1.0)
PREDICTIONS = {"results": tf.constant([0, 1])}


def train_op():
    return tf.constant(1, tf.int64)


GIVEN = {"predictions": PREDICTIONS, "loss": LOSS, "train_op": train_op}

# For each mode: which combinations of the three are accepted, and the error message for the others.
ACCEPTED = {
    "train": [{"loss", "train_op"}, {"predictions"}, {"predictions", "loss", "train_op"}],
    "eval": [{"loss"}, {"predictions"}, {"predictions", "loss"}],
    "infer": [{"predictions"}],
}
REFUSED = {
    ("train", frozenset()): "Missing loss and predictions: mode 'train'",
    ("train", frozenset({"loss"})): "Missing train_op: mode 'train'",
    ("train", frozenset({"train_op"})): "Missing loss: mode 'train'",
    ("train", frozenset({"predictions", "loss"})): "Missing train_op: mode 'train'",
    ("train", frozenset({"predictions", "train_op"})): "Missing loss: mode 'train'",
    ("eval", frozenset()): "Missing loss and predictions: mode 'eval'",
    ("eval", frozenset({"train_op"})): "train_op must be None in mode 'eval'",
    ("eval", frozenset({"predictions", "train_op"})): "train_op must be None in mode 'eval'",
    ("eval", frozenset({"loss", "train_op"})): "train_op must be None in mode 'eval'",
    ("eval", frozenset({"predictions", "loss", "train_op"})): "train_op must be None in mode 'eval'",
    ("infer", frozenset()): "Missing predictions: mode 'infer'",
    ("infer", frozenset({"loss"})): "Missing predictions: mode 'infer'",
    ("infer", frozenset({"train_op"})): "Missing predictions: mode 'infer'",
    ("infer", frozenset({"loss", "train_op"})): "Missing predictions: mode 'infer'",
    ("infer", frozenset({"predictions", "loss"})): "loss must be None in mode 'infer'",
    ("infer", frozenset({"predictions", "train_op"})): "train_op must be None in mode 'infer'",
    ("infer", frozenset({"predictions", "loss", "train_op"})): "loss must be None in mode 'infer'",
}


def test_the_two_tables_cover_every_combination_once():
    combinations = {frozenset(c) for n in range(4) for c in itertools.combinations(GIVEN, n)}
    for mode, accepted in ACCEPTED.items():
        refused = {names for m, names in REFUSED if m == mode}
        assert refused | {frozenset(names) for names in accepted} == combinations
        assert not refused & {frozenset(names) for names in accepted}


@pytest.mark.parametrize(("mode", "names"), [(mode, names) for mode, sets in ACCEPTED.items() for names in sets])
def test_allowed_outputs_are_kept_as_given(mode, names):
    spec = EstimatorSpec(mode, **{name: GIVEN[name] for name in names})
    assert spec.mode == mode
    for name, value in GIVEN.items():
        assert getattr(spec, name) is (value if name in names else None)


@pytest.mark.parametrize(
    ("mode", "names"), REFUSED, ids=lambda value: value if isinstance(value, str) else "+".join(sorted(value)) or "nothing"
)
def test_a_missing_or_forbidden_output_is_named(mode, names):
    with pytest.raises(ValueError, match=f"^{REFUSED[mode, names]}"):
        EstimatorSpec(mode, **{name: GIVEN[name] for name in names})


@pytest.mark.parametrize("mode", ["TRAIN", "predict", "", None, 0])
def test_an_unknown_mode_is_refused_with_the_known_ones(mode):
    with pytest.raises(ValueError, match=r"mode=.* is unknown; use one of 'train', 'eval', 'infer'\."):
        EstimatorSpec(mode, PREDICTIONS)


def test_eval_metrics_without_a_loss_are_refused():
    with pytest.raises(ValueError, match=r"^Missing loss: mode 'eval' requires it together with eval_metric_ops"):
        EstimatorSpec("eval", PREDICTIONS, eval_metric_ops={"mean": tf_keras.metrics.Mean()})


def test_eval_metrics_with_a_loss_are_kept():
    metrics = {"mean": tf_keras.metrics.Mean()}
    assert EstimatorSpec("eval", loss=LOSS, eval_metric_ops=metrics).eval_metric_ops == metrics


@pytest.mark.parametrize("predictions", [[tf.constant(1)], tf.constant(1), "results", 3])
def test_predictions_that_are_not_a_dict_are_a_type_error(predictions):
    with pytest.raises(TypeError, match=r"^predictions must be a dict, got "):
        EstimatorSpec("infer", predictions)


@pytest.mark.parametrize("value", [1.0, [1, 2], None, {"q": LOSS}])
def test_a_prediction_that_is_not_a_tensor_is_named(value):
    with pytest.raises(TypeError, match=r"^predictions\['q'\] must be a Tensor, got "):
        EstimatorSpec("infer", {**PREDICTIONS, "q": value})


@pytest.mark.parametrize("loss", [1.0, "mse", [LOSS]])
def test_a_loss_that_is_not_a_tensor_is_a_type_error(loss):
    with pytest.raises(TypeError, match=r"^loss must be a Tensor, got "):
        EstimatorSpec("eval", loss=loss)


@pytest.mark.parametrize("shape", [[1], [4], [2, 2]])
def test_a_loss_that_is_not_a_scalar_is_refused_with_its_shape(shape):
    with pytest.raises(ValueError, match=r"^loss must be a scalar, got shape \("):
        EstimatorSpec("eval", loss=tf.zeros(shape))


def test_a_train_op_that_cannot_be_called_is_a_type_error():
    with pytest.raises(TypeError, match=r"^train_op must be callable, got "):
        EstimatorSpec("train", loss=LOSS, train_op=tf.constant(1))


@pytest.mark.parametrize("metric", [tf.constant(1.0), 1.0, tf_keras.metrics.Mean, "mean"])
def test_a_metric_that_is_not_a_keras_metric_is_named(metric):
    with pytest.raises(TypeError, match=r"^eval_metric_ops\['m'\] must be a tf_keras\.metrics\.Metric, got "):
        EstimatorSpec("eval", loss=LOSS, eval_metric_ops={"m": metric})


@pytest.mark.parametrize("name", ["eval_metric_ops", "extra_ops", "export_outputs"])
@pytest.mark.parametrize("value", [["a"], 1, LOSS])
def test_an_argument_that_is_not_a_dict_is_named(name, value):
    with pytest.raises(TypeError, match=f"^{name} must be a dict, got "):
        EstimatorSpec("infer", PREDICTIONS, **{name: value})


@pytest.mark.parametrize("name", ["predictions", "eval_metric_ops", "extra_ops", "export_outputs"])
def test_keys_that_are_not_strings_are_refused(name):
    with pytest.raises(TypeError, match=f"^{name} must have strings as keys, got 1"):
        EstimatorSpec("infer", **{"predictions": PREDICTIONS, name: {1: LOSS}})


@pytest.mark.parametrize("loss", ["a", True, 1j])
def test_a_loss_that_is_not_a_real_number_is_refused(loss):
    with pytest.raises(TypeError, match=r"^loss must hold real numbers, got dtype "):
        EstimatorSpec("eval", loss=tf.constant(loss))


@pytest.mark.parametrize("make", [lambda: tf.sparse.from_dense([1.0, 0.0]), lambda: tf.ragged.constant([[1], [1, 2]])])
def test_tensors_with_gaps_are_refused(make):
    with pytest.raises(TypeError, match=r"^predictions\['q'\] must be a Tensor"):
        EstimatorSpec("infer", {**PREDICTIONS, "q": make()})


def test_a_train_op_with_arguments_is_refused():
    with pytest.raises(TypeError, match=r"^train_op must be callable without arguments: missing a required argument: 'x'"):
        EstimatorSpec("train", loss=LOSS, train_op=lambda x: x)
    for fine in (lambda x=1: x, tf.function(train_op), lambda *x: x):
        EstimatorSpec("train", loss=LOSS, train_op=fine)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_export_outputs_are_only_allowed_in_infer(mode):
    with pytest.raises(ValueError, match=f"^export_outputs belong to mode 'infer', got them in mode '{mode}'"):
        EstimatorSpec(mode, PREDICTIONS, export_outputs={"serving_default": PREDICTIONS})


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"serving": LOSS}, r"^export_outputs\['serving'\] must be a dict"),
        ({"serving": {"q": 1.0}}, r"^export_outputs\['serving'\]\['q'\] must be a Tensor"),
    ],
)
def test_export_outputs_must_be_dicts_of_tensors(outputs, words):
    with pytest.raises(TypeError, match=words):
        EstimatorSpec("infer", PREDICTIONS, export_outputs=outputs)


@pytest.mark.parametrize("name", ["training_hooks", "evaluation_hooks"])
@pytest.mark.parametrize("value", ["hook", 3, {"a": 1}])
def test_hooks_that_are_not_a_sequence_are_named(name, value):
    with pytest.raises(TypeError, match=f"^{name} must be a list or tuple of hooks, got "):
        EstimatorSpec("infer", PREDICTIONS, **{name: value})


@pytest.mark.parametrize("hooks", [[object()], (object(), object()), []])
def test_hooks_are_kept_as_given(hooks):
    spec = EstimatorSpec("infer", PREDICTIONS, training_hooks=hooks, evaluation_hooks=hooks)
    assert spec.training_hooks is hooks
    assert spec.evaluation_hooks is hooks


def test_outputs_that_are_not_given_are_empty():
    spec = EstimatorSpec("infer", PREDICTIONS)
    assert (spec.eval_metric_ops, spec.extra_ops, spec.export_outputs) == ({}, {}, None)
    assert (tuple(spec.training_hooks), tuple(spec.evaluation_hooks)) == ((), ())


def test_a_spec_cannot_be_changed_afterwards():
    spec = EstimatorSpec("infer", PREDICTIONS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.loss = LOSS


def test_specs_do_not_share_their_default_dicts():
    first, second = EstimatorSpec("infer", PREDICTIONS), EstimatorSpec("infer", PREDICTIONS)
    assert first.extra_ops is not second.extra_ops
    assert first.eval_metric_ops is not second.eval_metric_ops


def test_symbolic_tensors_of_a_trace_are_accepted():
    @tf.function
    def traced(x):
        spec = EstimatorSpec("eval", {"results": x}, tf.reduce_mean(x))
        return spec.loss

    assert traced(tf.constant([1.0, 3.0])) == 2.0


def test_a_loss_of_unknown_rank_is_accepted():
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)])
    def traced(loss):
        return EstimatorSpec("eval", loss=loss).loss

    assert traced(tf.constant(3.0)) == 3.0
