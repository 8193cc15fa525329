"""Calling a user's `model_fn`, whichever of the optional arguments it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from polyrl.models.scope import Scope
from polyrl.policies import BoundedTensorSpec
from polyrl.spec import EstimatorSpec

OPTIONAL = ("mode", "params", "config")


class ModelFn:
    """`model_fn(features, labels[, mode][, params][, config]) -> EstimatorSpec`, bound to a scope.

    Raises:
        ValueError: if the function does not take `features` and `labels`, or takes an argument nobody can give.
    """

    def __init__(self, model_fn: Callable[..., EstimatorSpec], scope: Scope, params: Any, config: Any):
        if not callable(model_fn):
            raise TypeError(f"model_fn={model_fn!r} must be a function of (features, labels, mode, params, config).")
        parameters = inspect.signature(model_fn).parameters
        names = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        for required in ("features", "labels"):
            if required not in names:
                raise ValueError(f"model_fn must take an argument {required!r}; it takes {names}.")
        for name in names:
            has_default = parameters[name].default is not inspect.Parameter.empty
            if name not in ("features", "labels", *OPTIONAL) and not has_default:
                raise ValueError(f"model_fn takes {name!r}; it can be given features, labels, mode, params and config.")
        self._model_fn = model_fn
        self._scope = scope
        self._arguments = {"params": params, "config": config}
        self._names = names
        self._action_spec: BoundedTensorSpec | None = None
        self._results: tf.TensorSpec | None = None

    def act(
        self, features: Mapping[str, tf.Tensor], mode: str, clock: tf.Tensor | None = None
    ) -> tuple[dict[str, tf.Tensor], Mapping[str, Any]]:
        """The predictions and the extra ops of a call without labels."""
        spec = self(features, None, mode, clock)
        return dict(spec.predictions or {}), spec.extra_ops

    def __call__(
        self, features: Mapping[str, tf.Tensor], labels: Any, mode: str, clock: tf.Tensor | None = None
    ) -> EstimatorSpec:
        """Calls the function inside the scope; `clock` moves the random streams, see `Scope.active`."""
        given = {"mode": mode, **self._arguments}
        optional = {name: given[name] for name in OPTIONAL if name in self._names}
        with self._scope.active(clock):
            spec = self._model_fn(features=features, labels=labels, **optional)
        if not isinstance(spec, EstimatorSpec):
            raise TypeError(f"model_fn must return an EstimatorSpec, given: {spec!r}.")
        if labels is None:
            if spec.predictions is None:
                raise ValueError(f"model_fn must return predictions in mode {mode!r} without labels.")
            if "results" not in spec.predictions:
                raise ValueError(f"predictions must hold the action as 'results'; they hold {sorted(spec.predictions)}.")
            results = spec.predictions["results"]
            self._results = tf.TensorSpec(results.shape, results.dtype)  # Not the tensor, which would keep its graph alive.
            self._action_spec = spec.extra_ops.get("action_spec") or _inferred(spec.predictions)
        return spec

    def check_action_spec(self, given: BoundedTensorSpec) -> None:
        """Refuses an environment that takes other actions than the model gives, which must have been called before.

        A `model_fn` of one's own may say what it gives by `extra_ops["action_spec"]`; without, predictions tell the rest.
        """
        own = self._action_spec
        if own is None:
            self._check_results(given)
            return
        if _bounds(own) == _bounds(given):
            return
        if own.dtype.is_integer and given.dtype.is_integer:
            actions = int(given.maximum) + 1
            if int(own.maximum) + 1 == actions:  # Of whatever integer dtype.
                return
            raise ValueError(
                f"The model has num_actions={int(own.maximum) + 1}, the environment has {actions} actions; build the model "
                f"with num_actions={actions}."
            )
        if own.dtype.is_integer:
            raise TypeError(
                f"The model chooses among {int(own.maximum) + 1} actions, the environment takes numbers, {_box(given)}; use a "
                "continuous model (NAFModel), or make the actions discrete with a gymnasium.ActionWrapper."
            )
        if given.dtype.is_integer:
            raise TypeError(
                f"The model gives numbers, {_box(own)}, the environment takes one of {int(given.maximum) + 1} actions; use a "
                "discrete model (DQNModel)."
            )
        raise ValueError(
            f"The model gives {_box(own)}, the environment takes {_box(given)}; build the model with "
            f"num_actions={given.shape[0]}, action_low={given.minimum}, action_high={given.maximum}."
        )

    def _check_results(self, given: BoundedTensorSpec) -> None:
        """What can be said by the actions' kind and shape alone."""
        results = self._results
        if results is None:
            return
        if results.dtype.is_integer != given.dtype.is_integer or not results.shape[1:].is_compatible_with(given.shape):
            raise TypeError(
                f"predictions['results'] are {results.dtype.name} {tuple(results.shape)}; the environment takes actions "
                f"{given.dtype.name} {given.shape} for each row. Use NAFModel for numbers, DQNModel for "
                "one of several."
            )


def _bounds(spec: BoundedTensorSpec) -> tuple[Any, ...]:
    return spec.shape, spec.dtype, spec.minimum, spec.maximum


def _inferred(predictions: Mapping[str, tf.Tensor]) -> BoundedTensorSpec | None:
    """What the predictions of whole numbers tell of the actions; None if that is not how many there are."""
    values = predictions.get("q")
    if not predictions["results"].dtype.is_integer or values is None or values.shape.rank != 2 or values.shape[1] is None:
        return None
    return BoundedTensorSpec((), tf.int32, 0, values.shape[1] - 1, name="action")


def _box(spec: BoundedTensorSpec) -> str:
    return f"{spec.shape[0]} in [{spec.minimum}, {spec.maximum}]"
