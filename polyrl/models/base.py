"""`BaseModel`: the eight steps from features and labels to an `EstimatorSpec`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import tensorflow as tf
import tf_keras

from polyrl.configs import AdamConfig, LossConfig, MetricConfig, OptimizerConfig, ScheduleConfig
from polyrl.engine import functional
from polyrl.engine.fused_step import FusedStep
from polyrl.engine.replicas import mean_gradients
from polyrl.models.arguments import (
    built_optimizer,
    check_clip,
    check_metrics,
    check_name,
    check_pair,
    check_spelling,
    check_subclass,
    check_type,
    named_values,
)
from polyrl.models.gradients import check_gradients, check_torso, clip_gradients
from polyrl.models.graph_functions import GraphFn, as_graph_fn
from polyrl.models.model_call import ModelCall
from polyrl.models.scope import current_scope
from polyrl.models.shared import KeepsArguments, Shared
from polyrl.modes import Modes
from polyrl.spec import EstimatorSpec
from polyrl.summaries import Summaries, SummaryOptions

Nest = Any
T = TypeVar("T")


class BaseModel(KeepsArguments):
    """A model in one mode. Calling it with `(features, labels)` returns an `EstimatorSpec`.

    The template, each step a method that a subclass may override:

    | step | method | train | eval | infer |
    |---|---|---|---|---|
    | 1 | `_preprocess` | x | x | x |
    | 2 | `_call_graph_fn` | x | x | x |
    | 3 | `_build_loss` | x | x | |
    | 4 | `_build_eval_metrics` | | x | |
    | 5 | `_build_train_op` | x | | |
    | 6 | `_build_summary_op` | x | | |
    | 7 | `_build_predictions` | x | x | x |
    | 8 | `_build_extra_ops` | x | x | x |

    Without labels, steps 3 to 6 are left out: the spec then holds the predictions to act with.

    Args:
        mode: one of `Modes`.
        graph_fn: `graph_fn(mode, inputs)` returns the torso's output for `inputs`; it may create tf-keras layers inline. It
            is called once for each network and mode that the network runs in, and must build the same variables in each;
            `mode` is the model's. Layers that act otherwise in training (dropout, batch normalisation) and are not given
            `training` are told by tf-keras: in the update only. A model or layer of tf-keras does as well: each
            network has a copy of it, which is called with the state.
        loss_config: the element-wise loss.
        optimizer_config: the optimizer; `AdamConfig()` by default.
        eval_metrics_config: metrics that EVAL mode reports.
        summaries: `'all'`, or names out of `SummaryOptions`.
        clip_gradients: the largest global norm of the gradients; 0 or None leaves them alone.
        clip_embed_gradients: the largest norm of each embedding's gradient; 0 or None leaves them alone.
        name: the scope of everything the model owns, in the checkpoint and in TensorBoard: ASCII letters, digits, `_`, `-` and
            `.`, beginning with a letter. In TensorBoard the first model of a scope that trains has the plain tags; those of
            a further one begin with its name.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        check_subclass(cls)

    def __init__(
        self,
        mode: str,
        graph_fn: GraphFn,
        loss_config: LossConfig | None = None,
        optimizer_config: OptimizerConfig | None = None,
        eval_metrics_config: Sequence[MetricConfig] | None = None,
        summaries: str | Iterable[str] | None = "all",
        clip_gradients: float | None = 0.5,
        clip_embed_gradients: float | None = 0.1,
        name: str = "Model",
    ):
        self.mode = Modes.validate(mode)
        self.graph_fn = as_graph_fn(graph_fn)
        self.loss_config = check_type("loss_config", loss_config, LossConfig)
        self.optimizer_config = check_type("optimizer_config", optimizer_config, OptimizerConfig) or AdamConfig()
        self.eval_metrics_config = check_metrics(eval_metrics_config)
        self.summaries = SummaryOptions.validate(summaries)
        self.clip_gradients = check_clip("clip_gradients", clip_gradients)
        self.clip_embed_gradients = check_clip("clip_embed_gradients", clip_embed_gradients)
        self.name = check_name(name)
        self._scope = current_scope()
        self._current: ModelCall | None = None
        owner = self._part("owner", lambda: type(self), saved=False)
        if owner is not type(self):
            raise ValueError(
                f"name={name!r} belongs to a {owner.__name__} in this scope; give the {type(self).__name__} a name of its own."
            )

    def __call__(self, features: Nest, labels: Mapping[str, tf.Tensor] | None = None) -> EstimatorSpec:
        """Builds the outputs of this mode for one batch; see the class for the steps and `EstimatorSpec` for the result."""
        if labels is not None and self.mode == Modes.PREDICT:
            raise ValueError("labels must be None in mode 'infer'.")
        if self.mode == Modes.TRAIN:
            self._part("optimizer_config", lambda: self.optimizer_config, saved=False, made_from=self.optimizer_config)
        with tf.name_scope(self.name):
            features, labels = check_pair("_preprocess", self._preprocess(features, labels), "features, labels")
            with self._calling(features, labels) as call:
                if labels is None:
                    results = self._call_graph_fn(features)
                    predictions = self._build_predictions(results, features, labels)
                    exports = {"serving_default": predictions} if self.mode == Modes.PREDICT else None
                    extra = self._build_extra_ops(results, features, labels)
                    return EstimatorSpec(self.mode, predictions, extra_ops=extra, export_outputs=exports)
                with call.watching(self._trainable_variables):
                    results = self._call_graph_fn(features)
                    losses, loss = check_pair("_build_loss", self._build_loss(results, features, labels), "losses, loss")
                predictions = {**self._build_predictions(results, features, labels), "losses": losses}
                if self.mode == Modes.EVAL:
                    metrics = self._build_eval_metrics(predictions, features, labels)
                    extra = self._build_extra_ops(results, features, labels)
                    return EstimatorSpec(self.mode, predictions, loss, eval_metric_ops=metrics, extra_ops=extra)
                check_spelling(self.eval_metrics_config, predictions, labels)
                train_op = call.with_moved(self._build_train_op(loss))
                summaries = self._build_summary_op(results, features, labels)
                summaries = summaries if self._is_first else summaries.with_prefix(self.name)
                extra = {"summaries": summaries, **(self._build_extra_ops(results, features, labels) or {})}
                return EstimatorSpec(self.mode, predictions, loss, train_op, extra_ops=extra)

    @property
    def current_call(self) -> ModelCall:
        """What the running call has at hand.

        Raises:
            RuntimeError: if the model is not being called.
        """
        if self._current is None:
            raise RuntimeError(f"{type(self).__name__}.current_call exists only while the model is called.")
        return self._current

    # The eight steps. ---------------------------------------------------------------------------------------------------

    def _preprocess(self, features: Nest, labels: Any) -> tuple[Nest, Any]:
        """Checks and converts the input."""
        return features, labels

    def _call_graph_fn(self, inputs: Nest) -> tf.Tensor:
        """Runs the networks on `inputs`; returns the actions, `predictions['results']`."""
        raise NotImplementedError(f"{type(self).__name__} must define _call_graph_fn.")

    def _build_loss(self, results: tf.Tensor, features: Nest, labels: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the loss of each example `[B]` and the scalar to minimise."""
        raise NotImplementedError(f"{type(self).__name__} must define _build_loss.")

    def _build_eval_metrics(
        self, predictions: Mapping[str, tf.Tensor], features: Nest, labels: Mapping[str, tf.Tensor]
    ) -> dict[str, tf_keras.metrics.Metric]:
        """Updates and returns the metrics of `eval_metrics_config`."""
        metrics = {c.key: self._part(f"metrics/{c.key}", c.build, saved=False, made_from=c) for c in self.eval_metrics_config}
        for config in self.eval_metrics_config:
            config.update(metrics[config.key], named_values(predictions, labels))
        return metrics

    def _build_train_op(self, loss: tf.Tensor) -> Callable[[], tf.Tensor]:
        """Computes and clips the gradients of `loss`; returns the function that applies them and counts the update.

        After the step of the optimizer, `_after_update` runs, which updates the target network.
        """
        call = self.current_call
        assert call.tape is not None
        variables = self._trainable_variables()
        gradients = call.tape.gradient(loss, variables)
        self._check_connected(variables, gradients)
        check_gradients(gradients, type(self).__name__)
        if not functional.active():  # The same variables lack one there, see `_check_connected`.
            check_torso(self._torso_variables(), variables, gradients)
        gradients = [tf.zeros(v.shape, v.dtype) if g is None else g for v, g in zip(variables, gradients, strict=True)]
        fused = self._fused_step()
        # A sparse gradient may name a row more than once: its norm is that of the sum, so it is made dense first.
        packed = mean_gradients(fused.pack([tf.convert_to_tensor(gradient) for gradient in gradients]))
        embeddings = fused.positions(self._embedding_indices())
        clipped = clip_gradients(packed, embeddings, self.clip_gradients, self.clip_embed_gradients)
        call.gradients = clipped._replace(clipped=fused.unpack(clipped.clipped))

        def train_op() -> tf.Tensor:
            fused.apply_gradients(self._optimizer(), clipped.clipped, variables, self._scope.xla)
            step = self._updates.read_value()
            self._after_update(step)
            return step

        return train_op

    def _build_summary_op(self, results: tf.Tensor, features: Nest, labels: Any) -> Summaries:
        """The values of the panels that `summaries` names."""
        raise NotImplementedError(f"{type(self).__name__} must define _build_summary_op.")

    def _build_predictions(self, results: tf.Tensor, features: Nest, labels: Any) -> dict[str, tf.Tensor]:
        """A flat dict of tensors, the action under `results`."""
        return {"results": results}

    def _build_extra_ops(self, results: tf.Tensor, features: Nest, labels: Any) -> dict[str, Any]:
        """Anything else that the agent needs; each entry is optional."""
        return {}

    # Parts that later calls find again. ---------------------------------------------------------------------------------

    def _part(self, name: str, build: Callable[[], T], saved: bool = True, made_from: Any = None) -> T:
        """The part of that name in the scope; `build()` makes it at first, from `made_from`, which must not change."""
        name = f"{self.name}/{name}"
        first = self._scope.get(f"{name}/made_from", lambda: made_from, saved=False)
        if first != made_from:
            raise ValueError(
                f"{name!r} exists in this scope, made from {first!r}; it cannot be made from {made_from!r}. Use the same "
                "arguments, or another name for the model."
            )
        return self._scope.get(name, build, saved)

    def _optimizer(self) -> tf_keras.optimizers.Optimizer:
        """The optimizer, with all its slots; its `iterations` are `_updates`."""

        def build() -> tf_keras.optimizers.Optimizer:
            optimizer = built_optimizer(self.optimizer_config)
            if self._is_first:
                optimizer.iterations = self._scope.global_step
            optimizer.build(self._fused_step().optimized(self._trainable_variables()))
            return optimizer

        return self._part("optimizer", build, made_from=self.optimizer_config)

    def _learning_rate(self) -> tf.Tensor:
        """The learning rate of the next update, a scalar."""
        rate = self.optimizer_config.learning_rate
        if type(self.optimizer_config).build is not OptimizerConfig.build:  # The config's field may have no part in it.
            return tf.cast(self._optimizer().learning_rate, tf.float32)
        schedule = rate.build() if isinstance(rate, ScheduleConfig) else (lambda step: rate)
        return tf.convert_to_tensor(schedule(self._updates.read_value()), tf.float32)

    @property
    def _is_first(self) -> bool:
        """Whether this is the first model of its scope that trains."""
        return self._scope.get("first", lambda: self.name, saved=False) == self.name

    @property
    def _updates(self) -> tf.Variable:
        """Counts this model's updates: `global_step` for the first model of a scope that trains.

        A further one has a counter of its own: periods and schedules go by each model's updates, and a round of updates of all
        of them moves `global_step` by one.
        """
        return self._scope.global_step if self._is_first else self._optimizer().iterations

    def _fused_step(self) -> FusedStep:
        element_wise, alone = self.optimizer_config.element_wise, self._embedding_indices
        return self._part("fused_step", lambda: FusedStep(self._trainable_variables(), alone(), element_wise))

    def _trainable_variables(self) -> list[tf.Variable]:
        raise NotImplementedError(f"{type(self).__name__} must define _trainable_variables.")

    def _torso_variables(self) -> list[tf.Variable]:
        """Those of the trainable variables that `graph_fn` made; empty if it is not known."""
        return []

    def _check_connected(self, variables: Sequence[Any], gradients: Sequence[Any]) -> None:
        """Raises if a gradient by value is missing that the variable itself has, as with `tf.recompute_grad`."""
        lost = {variable.ref() for variable, gradient in zip(variables, gradients, strict=True) if gradient is None}
        if lost - self._part("unconnected", lambda: lost, saved=False):
            raise functional.NotFunctionalError("A custom gradient differentiates by variables, not by their values.")

    def _embedding_indices(self) -> set[int]:
        """Which of the trainable variables are embedding tables."""
        return set()

    def _after_update(self, step: tf.Tensor) -> None:
        """Called after the optimizer's step; `step` is the number of updates of this model so far."""

    @contextlib.contextmanager
    def _calling(self, features: Nest, labels: Any) -> Iterator[ModelCall]:
        """Inside of the `with` block, `current_call` is a new record."""
        outer = self._current
        if outer is None:
            shared = Shared.of(self)
            self._part("shared", lambda: shared, saved=False).check(shared, self.name)
        learns = self.mode == Modes.TRAIN and labels is not None
        if learns:
            self._part("arguments", self.described, saved=False)
        self._current = ModelCall(features, labels, functional.GradientTape() if learns else None)
        try:
            yield self._current
        finally:
            self._current = outer
