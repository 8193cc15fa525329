"""The compiled calls of evaluation and prediction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.engine.compiler import XLA_ERRORS
from polyrl.engine.tracing import traced
from polyrl.envs import Transitions
from polyrl.envs.observations import as_features, split_columns
from polyrl.estimators.model_fn import ModelActions, ModelFn, acting_predictions, checked
from polyrl.models.scope import Scope
from polyrl.modes import Modes
from polyrl.policies import BasePolicy, BoundedTensorSpec

logger = logging.getLogger("polyrl")


class RolloutCalls:
    """The calls of evaluation and prediction; they change nothing but the evaluation metrics and the random streams.

    Attributes:
        predict: PREDICT mode on states `[B, ...]`, or a dict: all predictions.
        act: the actions alone.
        greedy: EVAL mode's actions for such states.
        measure: the loss on transitions, with the metrics updated, and EVAL mode's actions for the next states.
        metrics: the model's metrics by name.
        policy: the policy that PREDICT mode acts by; None if the model gives none.
    """

    def __init__(self, model_fn: ModelFn, scope: Scope, jit: bool):
        self._model_fn, self._scope = model_fn, scope
        self.predict = _Call(self._predict, jit)
        self.act = _Call(lambda state: self._predict(state)["results"], jit)
        self.greedy = _Call(self._greedy, jit)
        self.measure = _Call(self._measure, jit)
        self.metrics: dict[str, Any] = {}
        self.policy: BasePolicy | None = None
        self._actions: ModelActions | None = None

    def build_prediction(self, state_spec: Any) -> None:
        """Creates every variable that prediction reads; `state_spec` is of one state, or a dict of specs."""
        batch = tf.nest.map_structure(lambda spec: tf.TensorSpec([None, *spec.shape], spec.dtype), state_spec)
        self.predict.trace(batch)
        self.act.trace(batch)

    def build_evaluation(self, state: Any, spec: BoundedTensorSpec) -> None:
        """Creates every variable that evaluation reads; `state` is `[N, ...]`, or a dict, `spec` that of one action."""
        rows = as_features(state)["state"].shape[0]
        action, number = np.zeros([rows, *spec.shape], spec.dtype.as_numpy_dtype), np.zeros(rows, np.float32)
        columns = Transitions(state, action, number, number, number, state)
        specs = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, tf.as_dtype(x.dtype)), columns)
        self.greedy.trace(specs.state)
        self.check_actions(spec)
        self.measure.trace(specs, specs.state)

    def check_actions(self, spec: BoundedTensorSpec) -> None:
        """Refuses an environment that takes other actions than the model gives; `spec` is that of one."""
        assert self._actions is not None
        self._actions.check(spec)

    def _predict(self, state: Any) -> dict[str, tf.Tensor]:
        spec = self._call(as_features(state), None, Modes.PREDICT)
        predictions = acting_predictions(spec, Modes.PREDICT)
        self._actions, self.policy = ModelActions.of(spec), spec.extra_ops.get("policy")
        return predictions

    def _greedy(self, state: Any) -> tf.Tensor:
        spec = self._call(as_features(state), None, Modes.EVAL)
        results = acting_predictions(spec, Modes.EVAL)["results"]
        self._actions = ModelActions.of(spec)
        return results

    def _measure(self, transitions: Transitions, state: Any) -> tuple[tf.Tensor, tf.Tensor]:
        spec = checked(self._call(*split_columns(transitions.columns()), Modes.EVAL))
        if spec.loss is None:
            raise ValueError("model_fn must return a loss in mode 'eval' with labels.")
        if spec.evaluation_hooks:
            raise ValueError("evaluation_hooks are not run yet: leave them out, or act on what Agent.evaluate returns.")
        self.metrics = dict(spec.eval_metric_ops)
        return spec.loss, self._greedy(state)

    def _call(self, features: Any, labels: Any, mode: str) -> Any:
        with self._scope.active():
            return self._model_fn(features=features, labels=labels, mode=mode)


class _Call:
    """A function of tensors, traced once for each structure; compiled by XLA if that is wanted and can be done."""

    def __init__(self, function: Callable[..., Any], jit: bool):
        self._function, self._jit = function, jit
        self._calls = self._new()
        self._specs: tuple[Any, ...] = ()
        self._traced: Any = None

    def trace(self, *specs: Any) -> Any:
        """Traces it for arguments of such specs, if it has not been, and creates its variables; calls go there from now on."""
        try:
            self._specs, self._traced = specs, self._calls.get_concrete_function(*specs)
        except Exception:
            self._calls = self._new()  # TensorFlow cannot trace a function again whose first trace failed.
            raise
        return self._traced

    def _new(self) -> Any:
        return traced(self._function, jit_compile=self._jit)

    @property
    def outputs(self) -> Any:
        """The specs of what it returns, once it has been traced."""
        return self._traced.structured_outputs

    def __call__(self, *arguments: Any) -> Any:
        tensors = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        try:
            return self._traced(*tensors)
        except XLA_ERRORS as error:
            if not self._jit:
                raise
            logger.warning(
                "XLA cannot compile the model's predictions, which continue without it, slower: %s",
                str(error).strip().splitlines()[0],
            )
            self._jit = False
            self._calls = self._new()
            return self.trace(*self._specs)(*tensors)
