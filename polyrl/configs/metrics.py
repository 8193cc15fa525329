"""Evaluation metrics by config: a tf-keras metric over named predictions and labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from polyrl.configs.base import Config
from polyrl.validation import suggestion

import tf_keras


@dataclasses.dataclass(frozen=True)
class MetricConfig(Config):
    """A tf-keras metric that `evaluate` reports.

    Args:
        metric: a class of `tf_keras.metrics`, for example `'Mean'` or `'MeanSquaredError'`.
        prediction: which value is measured: a key of the predictions (`'td_error'`, `'losses'`, `'q'`, ...) or a label
            as `'labels.reward'`.
        target: what it is compared with, named likewise; None for metrics of one value (`'Mean'`).
        name: the key in `eval_metric_ops` and in `evaluate`'s result; by default `<metric>_<prediction>`.
        arguments: further arguments of the metric's constructor.
    """

    IDENTIFIER: ClassVar[str] = "metric"
    metric: str = "Mean"
    prediction: str = "losses"
    target: str | None = None
    name: str | None = None
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def _validate(self) -> None:
        if not isinstance(getattr(tf_keras.metrics, self.metric, None), type):
            known = [name for name in dir(tf_keras.metrics) if name[0].isupper()]
            hint = suggestion(self.metric, known)
            raise ValueError(f"metric={self.metric!r} is no class of tf_keras.metrics.{hint}")

    @property
    def key(self) -> str:
        """The name under which the result is reported."""
        return self.name if self.name is not None else f"{self.metric}_{self.prediction}"

    def build(self) -> tf_keras.metrics.Metric:
        """A new tf-keras metric."""
        return getattr(tf_keras.metrics, self.metric)(name=self.key, **self.arguments)

    def update(self, metric: tf_keras.metrics.Metric, values: Mapping[str, Any]) -> None:
        """Adds one batch of `values` (predictions, and labels as `labels.<name>`) to `metric`."""
        wanted = [self.prediction] if self.target is None else [self.target, self.prediction]
        for name in wanted:
            if name not in values:
                raise KeyError(f"metric {self.key!r} asks for {name!r}; there are {sorted(values)}.")
        metric.update_state(*(values[name] for name in wanted))
