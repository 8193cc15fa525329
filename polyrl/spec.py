"""`EstimatorSpec`: what a `model_fn` returns."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from polyrl.modes import Modes
from polyrl.validation import explains

HINTS = {
    "scaffold": "There is no Scaffold: checkpoints and summaries are the agent's, see RunConfig; layers have initial values.",
    "training_chief_hooks": "Use training_hooks: a run is one process.",
    "prediction_hooks": "Use the rows that Agent.predict yields; hooks run while a model trains.",
    "export_signatures": "Use export_outputs.",
    "metrics": "Use eval_metric_ops.",
}
"""What fields of tf.estimator's `EstimatorSpec`, and what else may be tried, are here."""


@explains(HINTS)
@dataclasses.dataclass(frozen=True)
class EstimatorSpec:
    """The outputs of a model in one mode, checked for what that mode requires.

    | mode | required |
    |---|---|
    | `'train'` | `loss` and `train_op`; or, to act (no labels), `predictions` alone |
    | `'eval'` | `loss`; or, to act (no labels), `predictions` alone |
    | `'infer'` | `predictions` |

    Args:
        mode: one of `Modes`.
        predictions: dict of tensors; `predictions['results']` is the action.
        loss: scalar, the mean over the batch.
        train_op: a callable that applies one update and returns `global_step` after it. Nothing changes before it is called.
        eval_metric_ops: dict of tf-keras metrics, already updated with this batch; None is an empty one.
        extra_ops: dict of anything else that the model passes to its agent; None is an empty one.
        export_outputs: dict from signature name to a dict of tensors, for serving.
        training_hooks: hooks (`polyrl.estimators.hooks.Hook`) that run while this model trains; None means no hooks.
        evaluation_hooks: hooks for evaluation; `Agent` does not run any yet and refuses them.
    """

    mode: str
    predictions: Mapping[str, tf.Tensor] | None = None
    loss: tf.Tensor | None = None
    train_op: Callable[[], tf.Tensor] | None = None
    eval_metric_ops: Mapping[str, tf_keras.metrics.Metric] = dataclasses.field(default_factory=dict)  # Never None afterwards.
    extra_ops: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    export_outputs: Mapping[str, Mapping[str, tf.Tensor]] | None = None
    training_hooks: Sequence[Any] = ()
    evaluation_hooks: Sequence[Any] = ()

    def __post_init__(self) -> None:
        for name, empty in (("eval_metric_ops", {}), ("extra_ops", {}), ("training_hooks", ()), ("evaluation_hooks", ())):
            if getattr(self, name) is None:
                object.__setattr__(self, name, empty)
        Modes.validate(self.mode)
        self._check_presence()
        self._check_types()

    def _check_presence(self) -> None:
        has_predictions = self.predictions is not None
        if self.mode == Modes.PREDICT:
            if not has_predictions:
                raise ValueError("Missing predictions: mode 'infer' requires them.")
            for name, value in (("loss", self.loss), ("train_op", self.train_op)):
                if value is not None:
                    raise ValueError(f"{name} must be None in mode 'infer': there are no labels to learn from.")
        elif self.mode == Modes.TRAIN:
            if self.train_op is not None and self.loss is None:
                raise ValueError("Missing loss: mode 'train' requires it together with train_op.")
            if self.loss is not None and self.train_op is None:
                raise ValueError("Missing train_op: mode 'train' requires it together with loss.")
        else:
            if self.train_op is not None:
                raise ValueError("train_op must be None in mode 'eval': evaluation changes nothing.")
            if self.eval_metric_ops and self.loss is None:
                raise ValueError("Missing loss: mode 'eval' requires it together with eval_metric_ops.")
        if self.loss is None and not has_predictions:
            raise ValueError(f"Missing loss and predictions: mode {self.mode!r} requires one of the two.")

    def _check_types(self) -> None:
        if self.predictions is not None:
            _check_tensors("predictions", self.predictions)
        if self.loss is not None:
            _check_scalar("loss", self.loss)
        if self.train_op is not None and not callable(self.train_op):
            raise TypeError(f"train_op must be callable, got {self.train_op!r}.")
        if self.train_op is not None:
            _check_no_arguments("train_op", self.train_op)
        for name, metric in _mapping("eval_metric_ops", self.eval_metric_ops).items():
            if not isinstance(metric, tf_keras.metrics.Metric):
                raise TypeError(f"eval_metric_ops[{name!r}] must be a tf_keras.metrics.Metric, got {metric!r}.")
        _mapping("extra_ops", self.extra_ops)
        if self.export_outputs is not None:
            if self.mode != Modes.PREDICT:
                raise ValueError(f"export_outputs belong to mode 'infer', got them in mode {self.mode!r}.")
            for name, outputs in _mapping("export_outputs", self.export_outputs).items():
                _check_tensors(f"export_outputs[{name!r}]", outputs)
        for name in ("training_hooks", "evaluation_hooks"):
            if isinstance(getattr(self, name), str) or not isinstance(getattr(self, name), Sequence):
                raise TypeError(f"{name} must be a list or tuple of hooks, got {getattr(self, name)!r}.")


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict, got {value!r}.")
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"{name} must have strings as keys, got {key!r}.")
    return value


def _check_no_arguments(name: str, function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # Some builtins have none.
        return
    try:
        signature.bind()
    except TypeError as error:
        raise TypeError(f"{name} must be callable without arguments: {error}.") from error


def check_real(name: str, tensor: Any) -> None:
    """A TypeError unless a tensor holds real numbers."""
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer):
        raise TypeError(f"{name} must hold real numbers, got dtype {tensor.dtype.name}.")


def _is_dense(value: Any) -> bool:
    """Whether it is a tensor with a value at each place."""
    return tf.is_tensor(value) and not isinstance(value, (tf.RaggedTensor, tf.SparseTensor, tf.IndexedSlices))


def _check_scalar(name: str, value: Any) -> None:
    if not _is_dense(value):
        raise TypeError(f"{name} must be a Tensor, got {value!r}.")
    check_real(name, value)
    if value.shape.rank not in (0, None):
        raise ValueError(f"{name} must be a scalar, got shape {tuple(value.shape)}.")


def _check_tensors(name: str, values: Any) -> None:
    for key, value in _mapping(name, values).items():
        if not _is_dense(value):
            raise TypeError(f"{name}[{key!r}] must be a Tensor, got {value!r}.")
