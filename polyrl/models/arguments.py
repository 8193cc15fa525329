"""Checks of what a model's constructor is given."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tf_keras

from polyrl.configs import MetricConfig, OptimizerConfig
from polyrl.configs.base import Config
from polyrl.models.same_function import function_difference
from polyrl.ops import LossOutput
from polyrl.validation import KERAS3_REMEDY, check_float, is_keras3

OWN = (
    "mode",
    "graph_fn",
    "loss_config",
    "optimizer_config",
    "eval_metrics_config",
    "discount",
    "exploration_config",
    "use_target_graph",
    "target_update_frequency",
    "target_update_tau",
    "expert_loss",
    "double",
    "summaries",
    "clip_gradients",
    "clip_embed_gradients",
    "temperature",
)
"""Arguments in which models of one name may differ. The networks are made from the others."""


class Shared(NamedTuple):
    """What models of one name share: `graph_fn`, and the public attributes that are plain values or configs, except `OWN`."""

    graph_fn: Any
    arguments: dict[str, Any]

    @classmethod
    def of(cls, model: Any) -> Shared:
        arguments = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(model).items()
            if not name.startswith("_") and name not in OWN and _is_plain(value)
        }
        return cls(model.graph_fn, arguments)

    def check(self, model: Any) -> None:
        """Refuses a further model that was given something else: its networks are made already.

        Raises:
            ValueError: names the arguments that differ, with both values, or says in what the graph functions differ.
        """
        exists = f"A model name={model.name!r} with"
        first, own = self.arguments, Shared.of(model).arguments
        names = sorted({*own, *first})
        differences = [f"{n} is {first.get(n)!r} there, {own.get(n)!r} here" for n in names if own.get(n) != first.get(n)]
        if differences:
            raise ValueError(
                f"{exists} other arguments exists in this scope: {'; '.join(differences)}. Use the same arguments, or another "
                "name."
            )
        difference = function_difference(self.graph_fn, model.graph_fn)
        if difference is not None:
            raise ValueError(
                f"{exists} another graph_fn exists in this scope: {difference}. Its networks are built once: use the same "
                "function in every call and mode (its own argument `mode` says which mode it is), or another name."
            )


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str, np.ndarray, Config))


def check_metrics(configs: Any) -> tuple[MetricConfig, ...]:
    """`eval_metrics_config` as a tuple of configs with names of their own; raises an error that says what is wrong."""
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
    """Returns `value`, which must be None or of this kind; raises a TypeError that names it otherwise."""
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name}={value!r} must be {article} {kind.__name__}.")
    return value


def check_continuous(is_continuous: bool, model: str, continuous: bool) -> bool:
    """`is_continuous`, which must be what the model is."""
    if is_continuous is not continuous:
        kind = "continuous" if continuous else "discrete"
        raise ValueError(f"is_continuous={is_continuous}: {model} has {kind} actions; leave it {continuous}.")
    return is_continuous


def check_dueling(dueling: Any) -> str | bool | None:
    """One of the ways to combine the heads for advantage and value; False is None."""
    if dueling is True or dueling is None or dueling is False:
        return dueling or None
    if not isinstance(dueling, str) or dueling not in ("mean", "max", "naive"):
        raise ValueError(f"dueling={dueling!r} is unknown; use True, 'mean', 'max', 'naive', or None.")
    return dueling


def check_tau(tau: float, use_target_graph: bool) -> float:
    """`target_update_tau` in (0, 1], which means nothing without a target network."""
    tau = check_float("target_update_tau", tau, 0.0, 1.0)
    if tau == 0.0:
        raise ValueError("target_update_tau=0.0 must be above 0: the target network would never change.")
    if tau != 1.0 and not use_target_graph:
        raise ValueError(f"target_update_tau={tau} is for a target network; leave it at 1 with use_target_graph=False.")
    return tau


def check_name(name: Any) -> str:
    """A model's name, which TensorFlow's scopes and TensorBoard's tags take as it is.

    Raises:
        ValueError: if it is anything but ASCII letters, digits, `_`, `-` and `.`, beginning with a letter.
    """
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", unicodedata.normalize("NFKD", str(name)).encode("ascii", "ignore").decode())
    valid = plain if re.match("[A-Za-z]", plain) else f"Model{'_' * bool(plain)}{plain}"
    raise ValueError(
        f"name={name!r} must be a string of ASCII letters, digits, '_', '-' and '.', beginning with a letter, as {valid!r}."
    )


def built_optimizer(config: OptimizerConfig) -> tf_keras.optimizers.Optimizer:
    """What the config builds.

    Raises:
        TypeError: if it is no optimizer of tf-keras, or one that scales losses.
    """
    optimizer = config.build()
    if isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
        raise TypeError(
            f"optimizer_config={config!r} builds a LossScaleOptimizer, which expects gradients of a scaled loss; losses are "
            "not scaled here. Build the inner optimizer, and prefer the policy mixed_bfloat16 to mixed_float16."
        )
    if not isinstance(optimizer, tf_keras.optimizers.Optimizer):
        remedy = f" {KERAS3_REMEDY}" if is_keras3(optimizer) else ""
        raise TypeError(f"optimizer_config={config!r} builds {optimizer!r}, expected a tf_keras.optimizers.Optimizer.{remedy}")
    return optimizer


def check_clip(name: str, value: float | None) -> float | None:
    """A largest norm: None, or a float of at least 0."""
    return None if value is None else check_float(name, value, 0.0)


def check_loss(loss: Any) -> LossOutput:
    """What a `_build_td_loss` returned, which must be a `LossOutput`."""
    if not isinstance(loss, LossOutput):
        raise TypeError(
            f"_build_td_loss must return a polyrl.ops.LossOutput(loss, target, td_error, prediction), each [B]; got {loss!r}."
        )
    return loss
