"""The compiled calls of evaluation and prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.configs.metrics import RESULTS
from polyrl.engine.xla import Xla, XlaCall
from polyrl.envs import Transitions
from polyrl.envs.observations import as_features, split_columns
from polyrl.estimators import extra_ops
from polyrl.estimators.model_fn import ModelActions, ModelFn, acting_predictions, checked
from polyrl.models.features import NETWORK_STATE, STEP_TYPE
from polyrl.models.scope import Scope
from polyrl.modes import Modes
from polyrl.policies import BasePolicy, BoundedTensorSpec, StepType


class RolloutCalls:
    """The calls of evaluation and prediction; they change nothing but the evaluation metrics and the random streams.

    What is remembered is a dict of further features: `network_state` and `step_type` for a recurrent network, else empty.
    `first` and `following` make it.

    Attributes:
        predict: PREDICT mode on states `[B, ...]`, or a dict: all predictions. It takes what is remembered as well.
        act: the actions alone, with nothing remembered.
        greedy: EVAL mode's actions for such states and what is remembered; and what a recurrent network remembers then.
        measure: the loss on transitions, with the metrics updated, and what `greedy` gives for the next states.
        metrics: the model's metrics by name.
        begun: the states `[N, ...]` in which the last evaluation began, or None.
        policy: the policy that PREDICT mode acts by; None if the model gives none.
    """

    def __init__(self, model_fn: ModelFn, scope: Scope, jit: bool):
        self._model_fn, self._scope = model_fn, scope
        xla = Xla(jit, "the model's predictions")
        self.predict = XlaCall(self._predict, xla)
        self.act = XlaCall(lambda state: self._predict(state, {})["results"], xla)
        self.greedy = XlaCall(self._greedy, xla)
        self.measure = XlaCall(self._measure, xla)
        self.metrics: dict[str, Any] = {}
        self.begun: Any = None
        self.policy: BasePolicy | None = None
        self._actions: ModelActions | None = None
        self._state_size = 0

    def build_prediction(self, state_spec: Any) -> None:
        """Creates every variable that prediction reads; `state_spec` is of one state, or a dict of specs."""
        batch = tf.nest.map_structure(lambda spec: tf.TensorSpec([None, *spec.shape], spec.dtype), state_spec)
        self.predict.trace(batch, {})
        self.act.trace(batch)
        self._note(self.predict.outputs.get(NETWORK_STATE))
        if self.recurrent:
            self.predict.trace(batch, self._specs(None))

    def build_evaluation(self, state: Any, spec: BoundedTensorSpec) -> None:
        """Creates every variable that evaluation reads; `state` is `[N, ...]`, or a dict, `spec` that of one action."""
        rows = as_features(state)["state"].shape[0]
        action, number = np.zeros([rows, *spec.shape], spec.dtype.as_numpy_dtype), np.zeros(rows, np.float32)
        columns = Transitions(state, action, number, number, number, state)
        specs = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, tf.as_dtype(x.dtype)), columns)
        self.greedy.trace(specs.state, {})
        self.check_actions(spec)
        self._note(self.greedy.outputs[1])
        remembered = self._specs(rows) if self.recurrent else {}
        self.greedy.trace(specs.state, remembered)
        self.measure.trace(specs, remembered, specs.state, remembered)

    @property
    def recurrent(self) -> bool:
        """Whether the network remembers earlier states."""
        return self._state_size > 0

    def first(self, rows: int) -> dict[str, Any]:
        """What is remembered at the start of episodes, of `rows` environments."""
        if not self.recurrent:
            return {}
        return {NETWORK_STATE: tf.zeros([rows, self._state_size]), STEP_TYPE: tf.fill([rows], StepType.FIRST)}

    def following(self, network_state: Any, ended: Any) -> dict[str, Any]:
        """What is remembered at the next states: what the network remembers, and where an episode ended, bool `[N]`."""
        if not self.recurrent:
            return {}
        return {NETWORK_STATE: network_state, STEP_TYPE: tf.where(ended, StepType.FIRST, StepType.MID)}

    def _specs(self, rows: int | None) -> dict[str, tf.TensorSpec]:
        step_type = tf.TensorSpec([rows], tf.int32)
        return {NETWORK_STATE: tf.TensorSpec([rows, self._state_size], tf.float32), STEP_TYPE: step_type}

    def _note(self, network_state: Any) -> None:
        """Notes how much the network remembers, by the spec of it; None: nothing."""
        self._state_size = 0 if network_state is None else int(network_state.shape[1])

    def check_actions(self, spec: BoundedTensorSpec) -> None:
        """Refuses an environment that takes other actions than the model gives; `spec` is that of one."""
        assert self._actions is not None
        self._actions.check(spec)

    def begun_distributions(self, rows: int = 4) -> tuple[np.ndarray, np.ndarray] | None:
        """The return distributions of the greedy actions in the first states of the last evaluation: `[rows, N]`, and their
        support `[N]`; None if the model predicts none. Nothing is traced for it: it takes some hundredths of a second.
        """
        if self.begun is None:
            return None
        states = tf.nest.map_structure(lambda values: tf.convert_to_tensor(values[:rows]), self.begun)
        predictions = self._predict(states, self.first(min(rows, len(tf.nest.flatten(self.begun)[0]))))
        if "probabilities" not in predictions or "support" not in predictions:
            return None
        chosen = tf.cast(predictions["results"], tf.int32)
        return tf.gather(predictions["probabilities"], chosen, batch_dims=1).numpy(), np.asarray(predictions["support"])

    def _predict(self, state: Any, remembered: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        features = {**as_features(state), **remembered}
        spec = self._call(features, None, Modes.PREDICT)
        predictions = acting_predictions(spec, Modes.PREDICT, features["state"].shape[0])
        self._actions, self.policy = ModelActions.of(spec), extra_ops.policy(spec)
        return predictions

    def _greedy(self, state: Any, remembered: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor | None]:
        features = {**as_features(state), **remembered}
        spec = self._call(features, None, Modes.EVAL)
        predictions = acting_predictions(spec, Modes.EVAL, features["state"].shape[0])
        self._actions = ModelActions.of(spec)
        return predictions["results"], predictions.get(NETWORK_STATE)

    def _measure(
        self, transitions: Transitions, before: dict[str, tf.Tensor], state: Any, remembered: dict[str, tf.Tensor]
    ) -> tuple[Any, ...]:
        features, labels = split_columns(transitions.columns())
        spec = checked(self._call({**features, **before}, labels, Modes.EVAL), Modes.EVAL)
        if spec.loss is None:
            raise ValueError("model_fn must return a loss in mode 'eval' with labels.")
        if spec.evaluation_hooks:
            raise ValueError("evaluation_hooks are not run yet: leave them out, or act on what Agent.evaluate returns.")
        for name in spec.eval_metric_ops:
            if name in RESULTS or name.startswith("global_"):
                raise ValueError(f"eval_metric_ops[{name!r}] has the name of one of evaluate's own results; use another name.")
        self.metrics = dict(spec.eval_metric_ops)
        return spec.loss, *self._greedy(state, remembered)

    def _call(self, features: Any, labels: Any, mode: str) -> Any:
        with self._scope.active():
            return self._model_fn(features=features, labels=labels, mode=mode)
