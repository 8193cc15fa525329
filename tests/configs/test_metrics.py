"""Evaluation metrics: each against numpy, through `Agent.evaluate`, and in the TensorBoard run `eval`."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_agents import make_agent, q_model_fn
from tiny_envs import ScheduleEnv, vector

from polyrl.configs import MetricConfig
from polyrl.configs.metrics import RESULTS
from polyrl.envs.driver import EnvDriver


def data(seed=0, rows=16):
    """Two batches of values as a model returns them."""
    rng = np.random.default_rng(seed)
    batches = []
    for _ in range(2):
        q = rng.uniform(0.05, 1.0, [rows, 3])
        truth = rng.integers(0, 3, rows)
        batches.append(
            {
                "q": q / q.sum(axis=1, keepdims=True),
                "one_hot": np.eye(3)[truth],
                "labels.action": truth,
                "results": rng.integers(0, 3, rows),
                "td_error": rng.normal(size=rows),
                "p": rng.uniform(0.05, 0.95, rows),
                "labels.reward": rng.uniform(0.0, 2.0, rows),
                "labels.done": rng.integers(0, 2, rows).astype(float),
                "labels.weights": rng.uniform(0.0, 3.0, rows),
            }
        )
    return batches


def joined(batches):
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def measured(config, batches, jit=False):
    metric = config.build()
    update = tf.function(lambda values: config.update(metric, values), autograph=False, jit_compile=jit)
    for batch in batches:
        kinds = {"labels.action": tf.int32, "results": tf.int32}
        update({name: tf.constant(value, kinds.get(name, tf.float32)) for name, value in batch.items()})
    return np.asarray(metric.result())


def confusion(v):
    guess, truth = v["p"] > 0.5, v["labels.done"] > 0.5
    return (guess & truth).sum(), (guess & ~truth).sum(), (~guess & truth).sum(), (~guess & ~truth).sum()


def cosine(a, b):
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


DIFFERENCE = ("td_error", "labels.reward")

CLASSES = ("q", "one_hot")

CLASS_INDEX = ("q", "labels.action")

BINARY = ("p", "labels.done")

ORACLES = {
    "Mean": (("td_error", None), lambda v: v["td_error"].mean()),
    "Sum": (("td_error", None), lambda v: v["td_error"].sum()),
    "MeanSquaredError": (DIFFERENCE, lambda v: np.square(v["td_error"] - v["labels.reward"]).mean()),
    "RootMeanSquaredError": (DIFFERENCE, lambda v: np.sqrt(np.square(v["td_error"] - v["labels.reward"]).mean())),
    "MeanAbsoluteError": (DIFFERENCE, lambda v: np.abs(v["td_error"] - v["labels.reward"]).mean()),
    "MeanAbsolutePercentageError": (
        ("td_error", "p"),
        lambda v: 100.0 * np.mean(np.abs(v["td_error"] - v["p"]) / v["p"]),
    ),
    "MeanSquaredLogarithmicError": (
        ("p", "labels.reward"),
        lambda v: np.square(np.log1p(v["p"]) - np.log1p(v["labels.reward"])).mean(),
    ),
    "LogCoshError": (DIFFERENCE, lambda v: np.log(np.cosh(v["td_error"] - v["labels.reward"])).mean()),
    "Poisson": (("p", "labels.reward"), lambda v: np.mean(v["p"] - v["labels.reward"] * np.log(v["p"]))),
    "R2Score": (
        DIFFERENCE,
        lambda v: 1.0 - np.square(v["td_error"] - v["labels.reward"]).sum() / (v["labels.reward"].var() * 32),
    ),
    "Hinge": (BINARY, lambda v: np.maximum(1.0 - (2.0 * v["labels.done"] - 1.0) * v["p"], 0.0).mean()),
    "SquaredHinge": (BINARY, lambda v: np.square(np.maximum(1.0 - (2 * v["labels.done"] - 1) * v["p"], 0.0)).mean()),
    "CosineSimilarity": (CLASSES, lambda v: cosine(v["q"], v["one_hot"]).mean()),
    "Accuracy": (("results", "labels.action"), lambda v: np.mean(v["results"] == v["labels.action"])),
    "BinaryAccuracy": (BINARY, lambda v: np.mean((v["p"] > 0.5) == (v["labels.done"] > 0.5))),
    "BinaryCrossentropy": (
        BINARY,
        lambda v: -np.mean(v["labels.done"] * np.log(v["p"]) + (1.0 - v["labels.done"]) * np.log(1.0 - v["p"])),
    ),
    "CategoricalAccuracy": (CLASSES, lambda v: np.mean(v["q"].argmax(1) == v["labels.action"])),
    "SparseCategoricalAccuracy": (CLASS_INDEX, lambda v: np.mean(v["q"].argmax(1) == v["labels.action"])),
    "CategoricalCrossentropy": (CLASSES, lambda v: -np.mean(np.log((v["q"] * v["one_hot"]).sum(1)))),
    "SparseCategoricalCrossentropy": (CLASS_INDEX, lambda v: -np.mean(np.log((v["q"] * v["one_hot"]).sum(1)))),
    "KLDivergence": (CLASSES, lambda v: -np.mean(np.log((v["q"] * v["one_hot"]).sum(1)))),
    "Precision": (BINARY, lambda v: confusion(v)[0] / (confusion(v)[0] + confusion(v)[1])),
    "Recall": (BINARY, lambda v: confusion(v)[0] / (confusion(v)[0] + confusion(v)[2])),
    "TruePositives": (BINARY, lambda v: confusion(v)[0]),
    "FalsePositives": (BINARY, lambda v: confusion(v)[1]),
    "FalseNegatives": (BINARY, lambda v: confusion(v)[2]),
    "TrueNegatives": (BINARY, lambda v: confusion(v)[3]),
}

ARGUMENTS = {
    "IoU": {"num_classes": 3, "target_class_ids": [0]},
    "MeanIoU": {"num_classes": 3},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [0]},
    "OneHotMeanIoU": {"num_classes": 3},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
}

REFUSED = {"Metric", "MeanMetricWrapper", "MeanTensor", "MeanRelativeError"}

ALL = [name for name, value in vars(tf_keras.metrics).items() if inspect.isclass(value) and name not in REFUSED]


@pytest.mark.parametrize("name", ORACLES)
def test_a_metric_over_two_batches_is_that_of_numpy_over_all_rows(name):
    (prediction, target), oracle = ORACLES[name]
    found = measured(MetricConfig(name, prediction, target), data())
    np.testing.assert_allclose(found, oracle(joined(data())), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["function", "xla"])
def test_every_metric_of_tf_keras_gives_a_finite_result(jit):
    for name in ALL:
        compares = "y_pred" in inspect.signature(getattr(tf_keras.metrics, name).update_state).parameters
        wanted = ("results", "labels.action") if name in ("IoU", "MeanIoU") else CLASSES if compares else ("td_error", None)
        prediction, target = CLASS_INDEX if name.startswith("Sparse") else wanted
        found = measured(MetricConfig(name, prediction, target, arguments=ARGUMENTS.get(name, {})), data(), jit)
        assert np.isfinite(found).all(), name


@pytest.mark.parametrize(
    ("config", "oracle"),
    [
        (MetricConfig("Mean", "td_error", weights="labels.weights"), lambda v: v["td_error"]),
        (MetricConfig("Mean", "q", weights="labels.weights"), lambda v: v["q"].mean(axis=1)),
        (
            MetricConfig("MeanSquaredError", *DIFFERENCE, weights="labels.weights"),
            lambda v: np.square(v["td_error"] - v["labels.reward"]),
        ),
        (
            MetricConfig("SparseCategoricalAccuracy", *CLASS_INDEX, weights="labels.weights"),
            lambda v: v["q"].argmax(1) == v["labels.action"],
        ),
    ],
    ids=lambda value: getattr(value, "key", ""),
)
def test_weights_give_a_weighted_average_of_the_rows(config, oracle):
    values = joined(data())
    expected = np.average(oracle(values), weights=values["labels.weights"])
    np.testing.assert_allclose(measured(config, data()), expected, rtol=1e-4)


def test_the_default_name_is_that_of_the_metric_and_the_prediction():
    config = MetricConfig("Mean", "losses")
    assert config.build().name == config.key == "Mean_losses"
    assert MetricConfig("Mean", "losses", name="average").build().name == "average"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"metric": "Mean", "target": "labels.reward"}, "measures a single value: target='labels.reward' must be None"),
        ({"metric": "MeanSquaredError"}, "compares two values: give a target"),
        ({"metric": "MeanIoU", "target": "labels.action"}, "are not valid for MeanIoU.*num_classes"),
        ({"arguments": {"axes": 3}}, "are not valid for Mean.*axes"),
        ({"metric": "Precision", "target": "labels.done", "arguments": {"thresholds": 3.0}}, "Threshold values"),
        ({"name": "mean_reward"}, "name='mean_reward' is one of evaluate's own results"),
        ({"name": "global_step"}, "name='global_step' is one of evaluate's own results"),
        *(({"metric": name}, "is not a usable class of tf_keras.metrics") for name in sorted(REFUSED)),
    ],
)
def test_an_invalid_config_is_refused_at_construction(arguments, words):
    with pytest.raises(ValueError, match=words):
        MetricConfig(**arguments)


@pytest.mark.parametrize(("prediction", "target", "missing"), [("qq", None, "qq"), ("q", "labels.x", "labels.x")])
def test_a_missing_value_is_named(prediction, target, missing) -> None:
    config = MetricConfig("Mean" if target is None else "MeanSquaredError", prediction, target)
    with pytest.raises(KeyError, match=f"asks for '{missing}'"):
        config.update(config.build(), {"q": tf.zeros(2)})


def test_an_unknown_metric_is_named_with_the_most_similar() -> None:
    with pytest.raises(
        ValueError, match=r"metric='MeanSquareError' is not a usable class of tf_keras.metrics.*'MeanSquaredError'"
    ):
        MetricConfig("MeanSquareError")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (MetricConfig("MeanSquaredError", "q", "labels.reward"), r"cannot compare 'q' \(16, 3\) with 'labels.reward' \(16,\)"),
        (MetricConfig("SparseCategoricalAccuracy", "q", "one_hot"), "cannot compare"),
        (MetricConfig("CategoricalAccuracy", "results", "labels.action"), "cannot compare"),
        (
            MetricConfig("Mean", "td_error", weights="q"),
            r"expected one weight for each row of 'td_error' \(16,\), got 'q' \(16, 3\)",
        ),
    ],
    ids=lambda value: getattr(value, "key", ""),
)
def test_values_that_tf_keras_would_broadcast_are_refused_with_their_shapes(config, words):
    with pytest.raises(ValueError, match=words):
        measured(config, data())


CONFIGS = [
    MetricConfig("Mean", "labels.reward", name="step_reward"),
    MetricConfig("MeanAbsoluteError", "td_error", "labels.reward", name="distance"),
    MetricConfig("SparseCategoricalAccuracy", "q", "labels.action", name="greedy"),
    MetricConfig("Recall", "labels.done", "labels.done", name="ends", arguments={"thresholds": [0.5, 1.0]}),
]


def environments():
    return vector(ScheduleEnv(0, (3,)), ScheduleEnv(1, (3,)))


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_an_evaluation_reports_returns_and_metrics_and_writes_them_to_tensorboard(tmp_path, jit):
    agent = make_agent(q_model_fn(eval_metrics_config=CONFIGS), model_dir=tmp_path, jit=jit)
    agent.train(environments(), first_update=4, timesteps=12)
    result = agent.evaluate(environments(), episodes=4)
    # Two environments, two episodes each, of three steps: rewards 1, 2, 3 and 11, 12, 13.
    assert {name: result[name] for name in RESULTS if name != "loss"} == {
        "mean_reward": 21.0,
        "std_reward": 15.0,
        "min_reward": 6.0,
        "max_reward": 36.0,
        "mean_ep_length": 3.0,
        "episodes": 4,
    }
    assert result["step_reward"] == 7.0
    assert result["greedy"] == 1.0
    assert (result["ends_0"], result["ends_1"]) == (1.0, 0.0)  # Nothing is above 1.
    assert result["distance"] == pytest.approx(by_hand(agent), rel=1e-4)
    events = EventAccumulator(str(tmp_path / "eval"), size_guidance={"tensors": 0})
    events.Reload()
    written = {tag: tf.make_ndarray(events.Tensors(tag)[-1].tensor_proto) for tag in events.Tags()["tensors"]}
    shown = {name: value for name, value in result.items() if not name.startswith("global_") and name != "episodes"}
    expected = {f"eval/{name}": value for name, value in shown.items()}
    assert written.keys() == expected.keys()
    for tag, value in expected.items():
        np.testing.assert_allclose(written[tag], value, rtol=1e-6)


def by_hand(agent):
    """The mean of |td_error - reward| over the greedy steps, computed from the networks' outputs."""
    online, target = (agent._scope.parts[f"Model/{role}"] for role in ("online", "target"))
    driver = EnvDriver(environments())
    driver.reset([0, 0])
    distances = []
    for _ in range(6):
        actions = np.argmax(online({"state": driver.state}).q, axis=1)
        step, _ = driver.step(actions)
        q = online({"state": step.state}).q.numpy()[[0, 1], actions]
        next_q = target({"state": step.next_state}).q.numpy().max(axis=1)
        td_error = step.reward + 0.97 * (1.0 - step.done) * next_q - q
        distances.extend(np.abs(td_error - step.reward))
    return np.mean(distances)
