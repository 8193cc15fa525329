"""Checks of what a model's constructor is given."""

from __future__ import annotations

import difflib
import logging
import numbers
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from polyrl.configs import LossConfig, MetricConfig, OptimizerConfig
from polyrl.configs.base import known_configs
from polyrl.models.other_names import HINTS
from polyrl.ops import LossOutput
from polyrl.validation import KERAS3_REMEDY, check_bool, check_float, check_int, explains, is_keras3, takes

logger = logging.getLogger("polyrl")

TARGET_UPDATE_FREQUENCY = 5
"""Updates between two updates of the target network, unless a model is told otherwise."""


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


def check_loss_config(config: LossConfig) -> LossConfig:
    """Returns it; a TypeError unless it builds a function of target and prediction."""
    if not takes(config.build(), 2):
        raise TypeError(
            f"{type(config).__name__}.build must return a function loss_fn(target, prediction), each [B], the loss of "
            "each, [B]."
        )
    return config


def named_values(predictions: Mapping[str, Any], labels: Mapping[str, Any]) -> dict[str, Any]:
    """What metrics name: the predictions, and the labels as `labels.<name>`."""
    return {**predictions, **{f"labels.{key}": value for key, value in labels.items()}}


def check_spelling(metrics: Sequence[MetricConfig], predictions: Mapping[str, Any], labels: Any) -> None:
    """A ValueError for a metric whose value has almost the name of a prediction or a label."""
    for config in metrics:
        config.check_spelling(named_values(predictions, labels))


def label_names(metrics: Sequence[MetricConfig]) -> list[str]:
    """The labels that metrics read."""
    names = [name for config in metrics for name in (config.prediction, config.target, config.weights) if name is not None]
    return [name.removeprefix("labels.") for name in names if name.startswith("labels.")]


def check_type(name: str, value: Any, kind: type) -> Any:
    """Returns `value`, which must be None or of this kind; raises a TypeError that names it otherwise."""
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name}={value!r} must be {article} {kind.__name__}.{_config_for(value, kind)}")
    return value


def _config_for(value: Any, kind: type) -> str:
    """` Use ...`: the config that was probably meant, if there is one."""
    if isinstance(value, type) and issubclass(value, kind):
        return f" Call it: {value.__name__}()."
    if isinstance(value, Mapping):
        return f" Use {kind.__name__}.from_dict(...)."
    if isinstance(value, (float, int)) and not isinstance(value, bool) and kind.__name__ in _OF_NUMBERS:
        return f" Use {_OF_NUMBERS[kind.__name__].format(value)}."
    text = value if isinstance(value, str) else type(value).__name__
    kinds: Iterable[type] = known_configs(kind)
    known = [config.__name__ for config in kinds]
    wanted = text.lower().replace("_", "").removesuffix("config")
    near = [n for n in known if wanted and n.lower().removesuffix("config").startswith(wanted)]
    return f" Use {min(near, key=len)}()." if near else f" Use one of {', '.join(sorted(known))}."


_OF_NUMBERS = {
    "OptimizerConfig": "AdamConfig(learning_rate={})",
    "ExplorationConfig": "ConstantExplorationConfig({})",
    "LossConfig": "HuberLossConfig(delta={})",
}
"""What a bare number may have been meant for."""


def check_num_actions(num_actions: int, continuous: bool) -> int:
    """The number of actions, at least 2; or, of a continuous one, the number of its components."""
    minimum = 1 if continuous else 2
    if isinstance(num_actions, numbers.Integral) and not isinstance(num_actions, bool) and num_actions < minimum:
        other = (
            "an action has at least one component; use DQNModel for discrete actions"
            if continuous
            else "there must be something to choose; use NAFModel for continuous actions (a Box), which takes their number of "
            "components, or make them discrete with a gymnasium.ActionWrapper"
        )
        raise ValueError(f"num_actions={num_actions} must be at least {minimum}: {other}.")
    return check_int("num_actions", num_actions, minimum)


def check_continuous(is_continuous: bool, model: str, continuous: bool) -> bool:
    """`is_continuous`, which must be what the model is."""
    is_continuous = check_bool("is_continuous", is_continuous)
    if is_continuous is not continuous:
        kind = "continuous" if continuous else "discrete"
        raise ValueError(f"is_continuous={is_continuous}: {model} has {kind} actions; leave it {continuous}.")
    return is_continuous


def check_dueling(dueling: Any) -> str | bool | None:
    """One of the ways to combine the heads for advantage and value; False is None."""
    if dueling is None or isinstance(dueling, (bool, np.bool_)):
        return bool(dueling) or None
    if not isinstance(dueling, str) or dueling not in ("mean", "max", "naive"):
        raise ValueError(f"dueling={dueling!r} is unknown; use True, 'mean', 'max', 'naive', or None.")
    return dueling


def check_tau(tau: float, use_target_graph: bool) -> float:
    """`target_update_tau` in (0, 1], which has no effect without a target network."""
    tau = check_float("target_update_tau", tau, 0.0, 1.0)
    if tau == 0.0:
        raise ValueError("target_update_tau=0.0 must be above 0: the target network would never change.")
    if tau != 1.0 and not use_target_graph:
        raise ValueError(f"target_update_tau={tau} is for a target network; leave it at 1 with use_target_graph=False.")
    return tau


def check_periods(frequency: int, timesteps: int | None, use_target_graph: bool) -> tuple[int, int | None]:
    """`target_update_frequency` and `target_update_timesteps`: both at least 1, and of the two only one is given."""
    frequency = check_int("target_update_frequency", frequency, minimum=1)
    if timesteps is None:
        return frequency, None
    timesteps = check_int("target_update_timesteps", timesteps, minimum=1)
    if not use_target_graph:
        raise ValueError(
            f"target_update_timesteps={timesteps} is for a target network; leave it out with use_target_graph=False."
        )
    if frequency != TARGET_UPDATE_FREQUENCY:
        raise ValueError(
            f"target_update_frequency={frequency} has no effect with target_update_timesteps={timesteps}; give one of them."
        )
    return frequency, timesteps


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
        TypeError: if it is not an optimizer of tf-keras, or is one that scales losses.
        ValueError: if it is in use already, for example if `build` returns the same object at each call.
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
    # tf-keras notes there that it has made its variables: for the weights of another model, or of none of polyrl's.
    if getattr(optimizer, "_built", False):
        raise ValueError(
            f"optimizer_config={config!r}: its build returned a {type(optimizer).__name__} that is in use already. An "
            "optimizer belongs to one model; build(self) must return a new one with each call."
        )
    return optimizer


def check_clip(name: str, value: float | None) -> float | None:
    """A largest norm: None, or a float of at least 0."""
    return None if value is None else check_float(name, value, 0.0)


def check_loss(loss: Any, rows: tf.Tensor) -> LossOutput:
    """What a `_build_td_loss` returned, which must be a `LossOutput` of tensors `[B]`, as `rows` is one.

    `[B, 1]` and `[B, B]` would be averaged like `[B]`, and train something else.
    """
    if not isinstance(loss, LossOutput):
        raise TypeError(
            f"_build_td_loss must return a polyrl.ops.LossOutput(loss, target, td_error, prediction), each [B]; got {loss!r}."
        )
    for name, value in loss._asdict().items():
        value = tf.convert_to_tensor(value)
        if not value.dtype.is_floating:
            raise TypeError(f"_build_td_loss: {name} must be floats, got {value.dtype.name}.")
        if not value.shape.is_compatible_with(rows.shape):
            raise ValueError(
                f"_build_td_loss: {name} must be one number for each transition, {tuple(rows.shape)}; got "
                f"{tuple(value.shape)}. (Tensors [B] and [B, 1] broadcast to [B, B]; squeeze one, or index the other.)"
            )
    return loss


def check_subclass(model: type) -> None:
    """Has errors of a new model class's constructor say what to use instead, and warns of misspelt methods."""
    if "__init__" in vars(model) or len(model.__bases__) > 1:  # Its arguments are then others than those of its parent.
        explains(HINTS)(model)
    _warn_of_misspelt(model)


def _warn_of_misspelt(model: type) -> None:
    """Warns of a method whose name is almost that of an inherited one: it would never be called."""
    inherited = {name for base in model.__mro__[1:] for name in vars(base) if name.startswith("_") and name[1] != "_"}
    for name in vars(model):
        near = [] if name in inherited else difflib.get_close_matches(name, inherited, n=1, cutoff=0.92)
        if near and callable(getattr(model, name)):
            logger.warning(
                "%s.%s is called by none of polyrl's methods. Did you mean %r, which it inherits? Otherwise give it a name "
                "that is less similar.",
                model.__name__,
                name,
                near[0],
            )


def check_rewards(scale: float, clip: float | None) -> tuple[float, float | None]:
    """`reward_scale`, above 0, and `clip_rewards`, None or above 0."""
    scale = check_float("reward_scale", scale, 0.0)
    if scale == 0.0:
        raise ValueError(f"reward_scale={scale} must be above 0: there would be no rewards.")
    clip = None if clip is None else check_float("clip_rewards", clip, 0.0)
    if clip == 0.0:
        raise ValueError(f"clip_rewards={clip} must be above 0, or None.")
    return scale, clip


def check_pair(method: str, result: Any, what: str) -> tuple[Any, Any]:
    """What a step of the template returned, which must be a pair."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{method} must return ({what}), got {result!r}.")
    return result
