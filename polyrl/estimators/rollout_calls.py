"""The compiled calls of evaluation and prediction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.envs import Transitions
from polyrl.envs.observations import as_features, split_columns
from polyrl.estimators.compiled import XLA_ERRORS, first_line
from polyrl.estimators.model_fn import ModelFn
from polyrl.modes import Modes
from polyrl.policies import BoundedTensorSpec

logger = logging.getLogger("polyrl")


class RolloutCalls:
    """The calls of evaluation and prediction; they change nothing but the evaluation metrics."""

    def __init__(self, model_fn: ModelFn, jit: bool):
        self._model_fn = model_fn
        self.predict = _RolloutCall(self._build_prediction, jit)
        self.greedy = _RolloutCall(self._build_greedy, jit)
        self.measure = _RolloutCall(self._build_measure, jit)
        self.metrics: dict[str, Any] = {}

    def build_evaluation(self, state: Any, spec: BoundedTensorSpec) -> None:
        """Creates every variable that evaluation reads, without running anything; `state` is `[N, ...]`, or a dict."""
        rows = as_features(state)["state"].shape[0]
        action, number = np.zeros([rows, *spec.shape], spec.dtype.as_numpy_dtype), np.zeros(rows, np.float32)
        columns = Transitions(state, action, number, number, number, state)
        specs = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, tf.as_dtype(x.dtype)), columns)
        self.measure.get_concrete_function(specs, specs.state)
        self._model_fn.check_action_spec(spec)

    def build_prediction(self, state: Any, spec: BoundedTensorSpec | None = None) -> None:
        """Creates every variable that prediction reads; `state` is `[B, ...]`, or a dict."""
        self.predict.get_concrete_function(state, tf.TensorSpec([], tf.int64))
        if spec is not None:
            self._model_fn.check_action_spec(spec)

    def _build_prediction(self, state: Any, clock: tf.Tensor) -> dict[str, tf.Tensor]:
        """PREDICT mode on `state` `[B, ...]`, or a dict; `clock` int64 moves the policy's random stream."""
        return self._model_fn.act(as_features(state), Modes.PREDICT, clock)[0]

    def _build_greedy(self, state: Any) -> tf.Tensor:
        """EVAL mode's actions, `[B, ...]`."""
        return self._model_fn.act(as_features(state), Modes.EVAL)[0]["results"]

    def _build_measure(self, transitions: Transitions, state: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss on `transitions`, with the metrics updated, and EVAL mode's actions for `state`."""
        spec = self._model_fn(*split_columns(transitions.columns()), Modes.EVAL)
        if spec.loss is None:
            raise ValueError("model_fn must return a loss in mode 'eval' with labels.")
        if spec.evaluation_hooks:
            raise ValueError("evaluation_hooks are not run yet: leave them out, or act on what Agent.evaluate returns.")
        self.metrics = dict(spec.eval_metric_ops)
        return spec.loss, self._build_greedy(state)


class _RolloutCall:
    """A function of tensors, traced; compiled by XLA if that is wanted and can be done."""

    def __init__(self, function: Callable[..., Any], jit: bool):
        self._function, self._jit = function, jit
        self._traced = tf.function(function, jit_compile=jit, autograph=False)

    def get_concrete_function(self, *specs: Any) -> Any:
        """Traces it for arguments of such specs, and creates its variables."""
        return self._traced.get_concrete_function(*specs)

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self._traced(*arguments)
        except XLA_ERRORS as error:
            if not self._jit:
                raise
            logger.warning("XLA cannot compile the model's predictions, which go on without it, slower: %s", first_line(error))
            self._jit, self._traced = False, tf.function(self._function, autograph=False)
            return self._traced(*arguments)
