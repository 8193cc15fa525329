"""A user's `model_fn`: which arguments it takes, and whether what it returns fits."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from polyrl.estimators import extra_ops
from polyrl.models.scope import Scope
from polyrl.models.shared import KeepsArguments
from polyrl.policies import BoundedTensorSpec
from polyrl.spec import EstimatorSpec

ModelFn = Callable[..., EstimatorSpec]
"""`model_fn(features=, labels=, mode=)`, see `bind`."""

OPTIONAL = ("mode", "params", "config")


def bind(model_fn: Callable[..., Any], params: Any, config: Any) -> ModelFn:
    """`model_fn(features, labels[, mode][, params][, config])` as a function of `features`, `labels` and `mode`.

    Raises:
        TypeError: if it is not a function.
        ValueError: if it does not take `features` and `labels`, or takes an argument that nobody gives.
    """
    if isinstance(model_fn, KeepsArguments):
        raise TypeError(
            f"model_fn is a {type(model_fn).__name__}, which has one mode; give a function that makes it in each: "
            f"def model_fn(features, labels, mode): return {type(model_fn).__name__}(mode, ...)(features, labels)."
        )
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
    given = {name: value for name, value in {"params": params, "config": config}.items() if name in names}
    bound = functools.partial(model_fn, **given)
    return bound if "mode" in names else lambda features, labels, mode: bound(features=features, labels=labels)


def takes_params(model_fn: Callable[..., Any]) -> bool:
    """Whether a `model_fn` gets the hyper-parameters; otherwise they are noted of the run, and change nothing of the model."""
    return "params" in inspect.signature(model_fn).parameters


def checked(spec: Any, mode: str) -> EstimatorSpec:
    """What a `model_fn` returned for this mode.

    Raises:
        TypeError: if it is not an `EstimatorSpec`.
        ValueError: if it is that of another mode: an evaluation would explore, a training be greedy.
    """
    if not isinstance(spec, EstimatorSpec):
        remedy = " Call the model, and return what it gives: return model(features, labels)." if _is_part(spec) else ""
        raise TypeError(f"model_fn must return an EstimatorSpec, got {spec!r}.{remedy}")
    if spec.mode != mode:
        raise ValueError(
            f"model_fn was called with mode={mode!r} and returned a spec of mode={spec.mode!r}: it must take an argument "
            "`mode`, and hand it on to the model."
        )
    return spec


def _is_part(value: Any) -> bool:
    """Whether it is a model that has not been called, a part of what one gives, or nothing."""
    return value is None or isinstance(value, KeepsArguments) or tf.is_tensor(value)


def check_counted(scope: Scope, updates: int) -> None:
    """A ValueError unless the `train_op`s have counted the run's updates: budgets, schedules and targets go by that."""
    counted = int(scope.global_step.numpy())
    if counted != updates:
        raise ValueError(
            f"After {updates} updates of this run global_step is {counted}: each train_op must add 1 to it, as "
            "`current_scope().global_step.assign_add(1)`, or `self._updates.assign_add(1)` in a `_build_train_op` of your own."
        )


def acting_predictions(spec: Any, mode: str, rows: int | None) -> dict[str, tf.Tensor]:
    """The predictions of a call without labels; a ValueError unless they hold an action for each of the rows.

    Args:
        spec: what `model_fn` returned.
        mode: what it was called with.
        rows: how many states it was called with; None if the call shall do for any number.
    """
    predictions = checked(spec, mode).predictions
    if predictions is None:
        raise ValueError(f"model_fn must return predictions in mode {mode!r} without labels.")
    if "results" not in predictions:
        raise ValueError(f"predictions must hold the action as 'results'; they hold {sorted(predictions)}.")
    shape = predictions["results"].shape
    if shape.rank is not None and (shape.rank == 0 or shape[0] not in (rows, None)):
        states = "any number of states" if rows is None else f"{rows} states"
        raise ValueError(
            f"predictions['results'] must hold one action for each state, [B, ...]; got the shape {tuple(shape)} for {states}."
        )
    return dict(predictions)


class ModelActions(NamedTuple):
    """What is known of a model's actions.

    `spec` is that of one action, as the model gives it or as its predictions imply it, or None; `results` that of the tensor
    `predictions["results"]`.
    """

    spec: BoundedTensorSpec | None
    results: tf.TensorSpec

    @classmethod
    def of(cls, spec: EstimatorSpec) -> ModelActions:
        """The actions of what `model_fn` returned to act; a `model_fn` may say by `extra_ops["action_spec"]` what it gives."""
        predictions = dict(spec.predictions or {})
        results = predictions["results"]
        # Not the tensor, which would keep its graph alive.
        return cls(extra_ops.action_spec(spec) or _inferred(predictions), tf.TensorSpec(results.shape, results.dtype))

    def check(self, given: BoundedTensorSpec) -> None:
        """Refuses an environment that takes other actions; `given` is the spec of one."""
        own, results = self.spec, self.results
        if own is None or _bounds(own) == _bounds(given):
            kinds_differ = results.dtype.is_integer != given.dtype.is_integer
            if kinds_differ or not results.shape[1:].is_compatible_with(given.shape):
                raise TypeError(
                    f"predictions['results'] are {results.dtype.name} {tuple(results.shape)}; the environment takes actions "
                    f"{given.dtype.name} {given.shape} for each row. Use NAFModel for continuous actions, DQNModel for "
                    "discrete ones; a `_build_actions` of your own returns them so."
                )
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
                f"The model chooses among {int(own.maximum) + 1} discrete actions, the environment takes continuous actions, "
                f"{_box(given)}; use a continuous model (NAFModel), or make the actions discrete with a "
                "gymnasium.ActionWrapper."
            )
        if given.dtype.is_integer:
            raise TypeError(
                f"The model gives continuous actions, {_box(own)}, the environment takes one of {int(given.maximum) + 1} "
                "discrete actions; use a discrete model (DQNModel)."
            )
        raise ValueError(
            f"The model's actions are {_box(own)}, those of the environment {_box(given)}; build the model with "
            f"num_actions={given.shape[0]}, action_low={given.minimum}, action_high={given.maximum}."
        )


def _bounds(spec: BoundedTensorSpec) -> tuple[Any, ...]:
    return spec.shape, spec.dtype, spec.minimum, spec.maximum


def _inferred(predictions: Mapping[str, tf.Tensor]) -> BoundedTensorSpec | None:
    """What the predictions of discrete actions tell; None if that is not how many there are."""
    values = predictions.get("q")
    if not predictions["results"].dtype.is_integer or values is None or values.shape.rank != 2 or values.shape[1] is None:
        return None
    return BoundedTensorSpec((), tf.int32, 0, values.shape[1] - 1, name="action")


def _box(spec: BoundedTensorSpec) -> str:
    return f"{spec.shape[0]} in [{spec.minimum}, {spec.maximum}]"
