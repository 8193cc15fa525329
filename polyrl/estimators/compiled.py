"""The compiled calls: all that happens on tensors between two steps of the environments."""

from __future__ import annotations

from typing import Any, NamedTuple

from polyrl.envs import Transitions
from polyrl.estimators.model_fn import ModelFn
from polyrl.models.scope import Scope
from polyrl.modes import Modes
from polyrl.replay import UniformReplay
from polyrl.summaries import Summaries

import numpy as np
import tensorflow as tf


class Outputs(NamedTuple):
    """What one iteration gives: `actions` int32 `[N]` for the present states; the mean `loss` of its updates (0 without); the
    exploration rate; the summaries of the last update, if they were asked for.
    """

    actions: tf.Tensor
    loss: tf.Tensor
    exploration_rate: tf.Tensor
    summaries: Summaries


class TrainingCalls:
    """One call per iteration: store the transitions, learn, act.

    Everything it changes is a variable of the scope or the memory. Each variant (learning or not, with summaries or not) is
    traced once.
    """

    def __init__(self, model_fn: ModelFn, scope: Scope, memory: UniformReplay, jit: bool):
        self._model_fn = model_fn
        self._scope = scope
        self._memory = memory
        self._act = tf.function(self._build_act, jit_compile=jit, autograph=False)
        self._iterate = tf.function(self._build_iteration, jit_compile=jit, autograph=False)
        # It runs once in a thousand steps: not worth the seconds that XLA takes to compile it.
        self._iterate_with_summaries = tf.function(self._build_iteration, autograph=False)
        self.summary_options: tuple[str, ...] = ()
        self.hooks: tuple[Any, ...] = ()

    def build(self, state: np.ndarray, num_actions: int) -> None:
        """Creates every variable (networks, optimizer, memory) without running anything; `state` is `[N, ...]`.

        The model comes first: what it refuses leaves the memory alone.
        """
        row = tf.TensorSpec(state.shape[1:], tf.as_dtype(state.dtype))
        scalar, action = tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.int32)
        self._act.get_concrete_function(tf.TensorSpec(state.shape, row.dtype))
        self._model_fn.check_num_actions(num_actions)
        self._memory.build(Transitions(row, action, scalar, scalar, row)._asdict())

        def batch(spec: tf.TensorSpec) -> tf.TensorSpec:
            return tf.TensorSpec([state.shape[0], *spec.shape], spec.dtype)

        columns = Transitions(*map(batch, (row, action, scalar, scalar, row)))
        self._iterate.get_concrete_function(
            columns, batch(row), tf.TensorSpec([], tf.int32), learn=True, several=False, summarize=False
        )

    def act(self, state: np.ndarray) -> np.ndarray:
        """The exploring actions for `state` `[N, ...]`; nothing else happens."""
        return self._act(state)[0].numpy()

    def iterate(self, transitions: Transitions, state: np.ndarray, updates: int, summarize: bool) -> Outputs:
        """Stores `transitions`, does `updates` updates, and acts on `state`."""
        summarize = summarize and updates > 0
        call = self._iterate_with_summaries if summarize else self._iterate
        number = tf.constant(updates, tf.int32)
        return call(transitions, state, number, learn=updates > 0, several=updates > 1, summarize=summarize)

    def _build_act(self, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        predictions, extra = self._model_fn.act({"state": state}, Modes.TRAIN)
        return predictions["results"], extra.get("exploration_rate", tf.constant(np.nan, tf.float32))

    def _build_iteration(
        self,
        transitions: Transitions,
        state: tf.Tensor,
        updates: tf.Tensor,
        learn: bool,
        several: bool,
        summarize: bool,
    ) -> Outputs:
        self._memory.add(transitions._asdict())
        self._scope.global_timestep.assign_add(state.shape[0])
        loss, summaries = tf.constant(0.0), Summaries.empty()
        if several:
            loss = tf.while_loop(
                lambda done, total: done < updates - 1,
                lambda done, total: (done + 1, total + self._build_update()[0]),
                [tf.constant(0), loss],
            )[1]
        if learn:
            last, values = self._build_update()
            loss = (loss + last) / tf.cast(updates, tf.float32)
            summaries = values if summarize else summaries
        actions, rate = self._build_act(state)
        return Outputs(actions, loss, rate, summaries)

    def _build_update(self) -> tuple[tf.Tensor, Summaries]:
        labels = self._memory.sample(self._scope.random_seed("replay", self._scope.global_step.read_value()))
        features: dict[str, Any] = {"state": labels.pop("state")}
        spec = self._model_fn(features, labels, Modes.TRAIN)
        if spec.train_op is None or spec.loss is None:
            raise ValueError("model_fn must return loss and train_op in mode 'train' with labels.")
        spec.train_op()
        self.hooks = tuple(spec.training_hooks)
        self.summary_options = tuple(spec.extra_ops.get("summary_options", ()))
        return spec.loss, spec.extra_ops.get("summaries", Summaries.empty())


class RolloutCalls:
    """The calls of evaluation and prediction; they change nothing but the evaluation metrics."""

    def __init__(self, model_fn: ModelFn, jit: bool):
        self._model_fn = model_fn
        self.predict = tf.function(self._build_prediction, jit_compile=jit, autograph=False)
        self.greedy = tf.function(self._build_greedy, jit_compile=jit, autograph=False)
        self.measure = tf.function(self._build_measure, jit_compile=jit, autograph=False)
        self.metrics: dict[str, Any] = {}

    def build_evaluation(self, state: np.ndarray, num_actions: int) -> None:
        """Creates every variable that evaluation reads, without running anything; `state` is `[N, ...]`."""
        columns = Transitions(state, *_zeros(state.shape[0]), state)
        specs = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, tf.as_dtype(x.dtype)), columns)
        self.measure.get_concrete_function(specs, specs.state)
        self._model_fn.check_num_actions(num_actions)

    def build_prediction(self, state: np.ndarray, num_actions: int | None = None) -> None:
        """Creates every variable that prediction reads; `state` is `[B, ...]`."""
        self.predict.get_concrete_function(state, tf.TensorSpec([], tf.int64))
        if num_actions is not None:
            self._model_fn.check_num_actions(num_actions)

    def _build_prediction(self, state: tf.Tensor, clock: tf.Tensor) -> dict[str, tf.Tensor]:
        """PREDICT mode on `state` `[B, ...]`; `clock` int64 moves the policy's random stream."""
        return self._model_fn.act({"state": state}, Modes.PREDICT, clock)[0]

    def _build_greedy(self, state: tf.Tensor) -> tf.Tensor:
        """EVAL mode's actions, int32 `[B]`."""
        return self._model_fn.act({"state": state}, Modes.EVAL)[0]["results"]

    def _build_measure(self, transitions: Transitions, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss on `transitions`, with the metrics updated, and EVAL mode's actions for `state`."""
        labels = transitions._asdict()
        features = {"state": labels.pop("state")}
        spec = self._model_fn(features, labels, Modes.EVAL)
        if spec.loss is None:
            raise ValueError("model_fn must return a loss in mode 'eval' with labels.")
        if spec.evaluation_hooks:
            raise ValueError("evaluation_hooks are not run yet: leave them out, or act on what Agent.evaluate returns.")
        self.metrics = dict(spec.eval_metric_ops)
        return spec.loss, self._build_greedy(state)


def _zeros(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Actions, rewards and ends of `rows` transitions."""
    return np.zeros(rows, np.int32), np.zeros(rows, np.float32), np.zeros(rows, np.float32)
