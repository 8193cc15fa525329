"""Evaluation metrics by config: a tf-keras metric over named predictions and labels."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras

from polyrl.configs.base import Config
from polyrl.engine.tracing import outside_of_graphs
from polyrl.validation import suggestion

RESULTS = ("mean_reward", "std_reward", "min_reward", "max_reward", "mean_ep_length", "episodes", "loss")
"""What `Agent.evaluate` always reports, in addition to the counters `global_...`."""

NEEDS_CLASSES = ("Categorical", "TopK", "F1Score", "FBetaScore", "KLDivergence", "OneHot")
"""Parts of the names of those metrics whose last axis must be one of classes."""


@dataclasses.dataclass(frozen=True)
class MetricConfig(Config):
    """A tf-keras metric that `evaluate` reports, over all environment steps of the evaluation.

    Predictions are named as in the spec (`'td_error'`, `'losses'`, `'q'`, `'results'`, ...), labels as `'labels.reward'`,
    `'labels.action'`, `'labels.done'`.

    Args:
        metric: the name of a class in `tf_keras.metrics`, for example `'Mean'` or `'MeanSquaredError'`.
        prediction: name of the value that is measured.
        target: name of the value that it is compared with, of the same shape, or a class index for the `Sparse...` metrics;
            None for metrics of a single value (`'Mean'`, `'Sum'`).
        name: the key in `eval_metric_ops` and in `evaluate`'s result; by default `<metric>_<prediction>`. A metric with
            several results, for example one for each threshold, is reported as `<name>_0`, `<name>_1`, ...
        arguments: further arguments of the metric's constructor.
        weights: name of the weights of the rows, `[B]`; None: all rows have the same weight.

    Raises:
        ValueError: if the metric does not exist, if its target is missing or not allowed, if its constructor rejects the
            arguments, or if the name is one of `RESULTS`.
    """

    IDENTIFIER: ClassVar[str] = "metric"
    metric: str = "Mean"
    prediction: str = "losses"
    target: str | None = None
    name: str | None = None
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: str | None = None

    def _validate(self) -> None:
        if not (isinstance(self.arguments, Mapping) and all(isinstance(key, str) for key in self.arguments)):
            raise TypeError(f"arguments={self.arguments!r} must be a dict from the arguments' names to their values.")
        known = [name for name in dir(tf_keras.metrics) if _is_metric(getattr(tf_keras.metrics, name))]
        if self.metric not in known:
            raise ValueError(
                f"metric={self.metric!r} is not a usable class of tf_keras.metrics.{suggestion(str(self.metric), known)}"
            )
        metric = getattr(tf_keras.metrics, self.metric)
        compares = "y_pred" in inspect.signature(metric.update_state).parameters
        if compares and self.target is None:
            raise ValueError(f"metric={self.metric!r} compares two values: give a target, such as 'labels.reward'.")
        if not compares and self.target is not None:
            raise ValueError(f"metric={self.metric!r} measures a single value: target={self.target!r} must be None.")
        try:
            # A function that is being traced may be one that can create no more variables.
            outside_of_graphs(self.build)
        except Exception as error:
            raise ValueError(f"arguments={dict(self.arguments)} are not valid for {self.metric}: {error}") from error
        if self.key in RESULTS or self.key.startswith("global_"):
            raise ValueError(f"name={self.key!r} is one of evaluate's own results; use another name.")

    @property
    def key(self) -> str:
        """The name under which the result is reported."""
        return self.name if self.name is not None else f"{self.metric}_{self.prediction}"

    def build(self) -> tf_keras.metrics.Metric:
        """A new tf-keras metric."""
        return getattr(tf_keras.metrics, self.metric)(name=self.key, **self.arguments)

    @property
    def _names(self) -> list[str]:
        return [name for name in (self.prediction, self.target, self.weights) if name is not None]

    def check_spelling(self, values: Collection[str]) -> None:
        """A ValueError if it asks for a value that is almost the name of one of `values`.

        What mode 'train' gives tells a misspelt name before there is something to evaluate. Others may be of 'eval' alone.
        """
        for name in self._names:
            if name not in values and (meant := suggestion(name, values, 0.8)):
                raise ValueError(f"metric {self.key!r} asks for {name!r}, which the model does not give.{meant}")

    def update(self, metric: tf_keras.metrics.Metric, values: Mapping[str, Any]) -> None:
        """Adds one batch of `values` (predictions, and labels as `labels.<name>`) to `metric`.

        Raises:
            KeyError: if a named value is missing.
            ValueError: if the shapes of the two values, or of the weights, do not match; tf-keras would broadcast them.
        """
        for name in self._names:
            if name not in values:
                raise KeyError(f"metric {self.key!r} asks for {name!r}; there are {sorted(values)}.{suggestion(name, values)}")
        prediction = tf.convert_to_tensor(values[self.prediction])
        weights = None if self.weights is None else tf.convert_to_tensor(values[self.weights])
        if weights is not None and not (weights.shape.rank == 1 and weights.shape.is_compatible_with(prediction.shape[:1])):
            raise ValueError(
                f"metric {self.key!r}: expected one weight for each row of {self.prediction!r} {tuple(prediction.shape)}, got "
                f"{self.weights!r} {tuple(weights.shape)}."
            )
        if self.target is None:
            rows = weights if weights is None else tf.reshape(weights, [-1, *[1] * (prediction.shape.rank - 1)])
            metric.update_state(prediction, rows if rows is None else tf.broadcast_to(rows, tf.shape(prediction)))
            return
        target = tf.convert_to_tensor(values[self.target])
        classes = any(word in self.metric for word in NEEDS_CLASSES)
        expected = prediction.shape[:-1] if self.metric.startswith("Sparse") else prediction.shape
        if not target.shape.is_compatible_with(expected) or (classes and prediction.shape.rank < 2):
            raise ValueError(
                f"metric {self.key!r}: {self.metric} cannot compare {self.prediction!r} {tuple(prediction.shape)} with "
                f"{self.target!r} {tuple(target.shape)}."
            )
        if prediction.shape.rank == 1:  # tf-keras averages over the last axis first, so add one of size 1.
            prediction, target = prediction[:, tf.newaxis], target[:, tf.newaxis]
        metric.update_state(target, prediction, weights)


def _is_metric(value: Any) -> bool:
    """Whether it is a metric class that can be used here.

    `Metric` and `MeanMetricWrapper` need a function; `MeanTensor` and `MeanRelativeError` treat each row position separately.
    """
    metrics = tf_keras.metrics
    unusable = (metrics.Metric, metrics.MeanMetricWrapper, metrics.MeanTensor, metrics.MeanRelativeError)
    return isinstance(value, type) and issubclass(value, metrics.Metric) and value not in unusable
