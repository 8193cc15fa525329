"""`BaseModel`: the eight steps from features and labels to an `EstimatorSpec`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import tensorflow as tf
import tf_keras

from polyrl.configs import AdamConfig, LossConfig, MetricConfig, OptimizerConfig
from polyrl.engine import functional
from polyrl.engine.fused_step import FusedStep
from polyrl.models.gradients import ClippedGradients, clip_gradients
from polyrl.models.scope import current_scope
from polyrl.modes import Modes
from polyrl.spec import EstimatorSpec
from polyrl.summaries import Summaries, SummaryOptions
from polyrl.validation import check_float

GraphFn = Callable[[str, Any], tf.Tensor]
Nest = Any
T = TypeVar("T")


class BaseModel:
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
            is called once for each network, with mode `'train'`: layers that act otherwise in training (dropout, batch
            normalisation) are told by tf-keras, in the update only.
        loss_config: the element-wise loss.
        optimizer_config: the optimizer; `AdamConfig()` by default.
        eval_metrics_config: metrics that EVAL mode reports.
        summaries: `'all'`, or names out of `SummaryOptions`.
        clip_gradients: the largest global norm of the gradients; 0 or None leaves them alone.
        clip_embed_gradients: the largest norm of each embedding's gradient; 0 or None leaves them alone.
        name: the scope of everything the model owns, in the checkpoint and in TensorBoard. There the first model of a scope
            that trains has the plain tags; those of a further one begin with its name.
    """

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
        if not callable(graph_fn):
            raise TypeError(f"graph_fn={graph_fn!r} must be a function of (mode, inputs).")
        self.graph_fn = graph_fn
        self.loss_config = check_type("loss_config", loss_config, LossConfig)
        self.optimizer_config = check_type("optimizer_config", optimizer_config, OptimizerConfig) or AdamConfig()
        self.eval_metrics_config = check_metrics(eval_metrics_config)
        self.summaries = SummaryOptions.validate(summaries)
        self.clip_gradients = None if clip_gradients is None else check_float("clip_gradients", clip_gradients, 0.0)
        self.clip_embed_gradients = (
            None if clip_embed_gradients is None else check_float("clip_embed_gradients", clip_embed_gradients, 0.0)
        )
        if not isinstance(name, str) or not name:
            raise ValueError(f"name={name!r} must be a non-empty string.")
        self.name = name
        self._scope = current_scope()
        owner = self._part("owner", lambda: type(self), saved=False)
        if owner is not type(self):
            raise ValueError(
                f"name={name!r} belongs to a {owner.__name__} in this scope; give the {type(self).__name__} a name of its own."
            )

    def __call__(self, features: Nest, labels: Mapping[str, tf.Tensor] | None = None) -> EstimatorSpec:
        """Builds the outputs of this mode for one batch; see the class for the steps and `EstimatorSpec` for the result."""
        if labels is not None and self.mode == Modes.PREDICT:
            raise ValueError("labels must be None in mode 'infer'.")
        with tf.name_scope(self.name):
            features, labels = self._preprocess(features, labels)
            self._inputs = features
            if labels is None:
                results = self._call_graph_fn(features)
                predictions = self._build_predictions(results, features, labels)
                return EstimatorSpec(
                    self.mode,
                    predictions,
                    extra_ops=self._build_extra_ops(results, features, labels),
                    export_outputs={"serving_default": predictions} if self.mode == Modes.PREDICT else None,
                )
            with self._gradient_tape():
                results = self._call_graph_fn(features)
                losses, loss = self._build_loss(results, features, labels)
            predictions = {**self._build_predictions(results, features, labels), "losses": losses}
            metrics: Mapping[str, tf_keras.metrics.Metric] = {}
            train_op = None
            if self.mode == Modes.EVAL:
                metrics = self._build_eval_metrics(predictions, features, labels)
            else:
                train_op = self._build_train_op(loss)
                summaries = self._build_summary_op(results, features, labels)
                self._summaries = summaries if self._is_first else summaries.below(self.name)
            return EstimatorSpec(
                self.mode,
                predictions,
                loss,
                train_op,
                eval_metric_ops=metrics,
                extra_ops=self._build_extra_ops(results, features, labels),
            )

    # The eight steps. ---------------------------------------------------------------------------------------------------

    def _preprocess(self, features: Nest, labels: Any) -> tuple[Nest, Any]:
        """Checks and converts the input."""
        return features, labels

    def _call_graph_fn(self, inputs: Nest) -> tf.Tensor:
        """Runs the networks on `inputs`; returns what `predictions['results']` shall be."""
        raise NotImplementedError

    def _build_loss(self, results: tf.Tensor, features: Nest, labels: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the loss of each example `[B]` and the scalar to minimise."""
        raise NotImplementedError

    def _build_eval_metrics(
        self, predictions: Mapping[str, tf.Tensor], features: Nest, labels: Mapping[str, tf.Tensor]
    ) -> dict[str, tf_keras.metrics.Metric]:
        """Updates and returns the metrics of `eval_metrics_config`."""
        values = {**predictions, **{f"labels.{key}": value for key, value in labels.items()}}
        metrics = {}
        for config in self.eval_metrics_config:
            metric = self._part(f"metrics/{config.key}", config.build, saved=False)
            config.update(metric, values)
            metrics[config.key] = metric
        return metrics

    def _build_train_op(self, loss: tf.Tensor) -> Callable[[], tf.Tensor]:
        """Computes and clips the gradients of `loss`; returns the function that applies them and counts updates."""
        variables = self._trainable_variables()
        gradients = self._tape.gradient(loss, functional.sources(variables))
        self._check_connected(variables, gradients)
        gradients = [tf.zeros(v.shape, v.dtype) if g is None else g for v, g in zip(variables, gradients, strict=True)]
        # A sparse gradient may name a row more than once: its norm is that of the sum, so it is made dense first.
        bundle = self._bundle()
        packed = bundle.pack([tf.convert_to_tensor(gradient) for gradient in gradients])
        embeddings = bundle.positions(self._embedding_indices())
        clipped = clip_gradients(packed, embeddings, self.clip_gradients, self.clip_embed_gradients)
        self._gradients = clipped._replace(clipped=bundle.unpack(clipped.clipped))

        def train_op() -> tf.Tensor:
            bundle.apply_gradients(self._optimizer(), clipped.clipped, variables, self._scope.xla)
            return self._updates.read_value()

        return train_op

    def _build_summary_op(self, results: tf.Tensor, features: Nest, labels: Any) -> Summaries:
        """The values of the panels that `summaries` asks for."""
        raise NotImplementedError

    def _build_predictions(self, results: tf.Tensor, features: Nest, labels: Any) -> dict[str, tf.Tensor]:
        """A flat dict of tensors, the action under `results`."""
        return {"results": results}

    def _build_extra_ops(self, results: tf.Tensor, features: Nest, labels: Any) -> dict[str, Any]:
        """Whatever else the agent shall have."""
        return {}

    # Parts that later calls find again. ---------------------------------------------------------------------------------

    def _part(self, name: str, build: Callable[[], T], saved: bool = True) -> T:
        return self._scope.get(f"{self.name}/{name}", build, saved)

    def _optimizer(self) -> tf_keras.optimizers.Optimizer:
        """The optimizer, with all its slots; its `iterations` are `_updates`."""

        def build() -> tf_keras.optimizers.Optimizer:
            optimizer = self.optimizer_config.build()
            if self._is_first:
                optimizer.iterations = self._scope.global_step
            optimizer.build(self._bundle().optimized(self._trainable_variables()))
            return optimizer

        return self._part("optimizer", build)

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

    def _bundle(self) -> FusedStep:
        return self._part("bundle", lambda: FusedStep(self._trainable_variables(), alone=self._embedding_indices()))

    def _trainable_variables(self) -> list[tf.Variable]:
        raise NotImplementedError

    def _check_connected(self, variables: Sequence[Any], gradients: Sequence[Any]) -> None:
        """Refuses to go on by value where a gradient gets lost that the variable itself has, as in `tf.recompute_grad`."""
        lost = {variable.ref() for variable, gradient in zip(variables, gradients, strict=True) if gradient is None}
        if lost - self._part("unconnected", lambda: lost, saved=False):
            raise functional.NotFunctionalError("A custom gradient differentiates by variables, not by their values.")

    def _embedding_indices(self) -> set[int]:
        """Which of the trainable variables are embedding tables."""
        return set()

    @contextlib.contextmanager
    def _gradient_tape(self) -> Iterator[None]:
        if self.mode != Modes.TRAIN:
            yield
            return
        with tf.GradientTape() as self._tape:
            self._tape.watch(functional.sources(self._trainable_variables()))
            yield

    _inputs: Nest
    _tape: tf.GradientTape
    _gradients: ClippedGradients
    _summaries: Summaries


def check_metrics(configs: Any) -> tuple[MetricConfig, ...]:
    """`eval_metrics_config` as a tuple of configs with names of their own; an error that says what it is instead."""
    if configs is not None and (isinstance(configs, str) or not isinstance(configs, Sequence)):
        raise TypeError(f"eval_metrics_config={configs!r} must be a list, each item must be a MetricConfig.")
    for config in configs or ():
        if not isinstance(config, MetricConfig):
            raise TypeError(f"eval_metrics_config={config!r} must be a MetricConfig.")
    keys = [config.key for config in configs or ()]
    if len(set(keys)) < len(keys):
        raise ValueError(f"eval_metrics_config: the metrics are called {keys}; give each a name of its own.")
    return tuple(configs or ())


def check_type(name: str, value: Any, kind: type) -> Any:
    """Returns `value`, which must be None or of this kind; a TypeError that names it otherwise."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name}={value!r} must be a {kind.__name__}.")
    return value
