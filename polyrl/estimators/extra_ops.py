"""What a `model_fn` tells its agent by `EstimatorSpec.extra_ops`: each entry by its name, checked where it is read.

They are read while calls are traced, so that no step pays for it. An entry that is None counts as missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from polyrl.policies import BasePolicy, BoundedTensorSpec
from polyrl.spec import EstimatorSpec, check_real
from polyrl.summaries import Summaries, SummaryOptions
from polyrl.validation import check_float, check_sequence


def action_spec(spec: EstimatorSpec) -> BoundedTensorSpec | None:
    """What one action is: an integer from 0 on, or numbers `[k]`.

    Raises:
        TypeError: if it is not a `BoundedTensorSpec`.
        ValueError: if it describes other actions.
    """
    given = spec.extra_ops.get("action_spec")
    if given is None:
        return None
    if not isinstance(given, BoundedTensorSpec):
        raise TypeError(f"extra_ops['action_spec'] must be a polyrl.policies.BoundedTensorSpec, got {given!r}.")
    discrete = given.dtype.is_integer and given.shape == () and given.minimum == 0
    if not discrete and not (given.dtype.is_floating and len(given.shape) == 1):
        raise ValueError(
            f"extra_ops['action_spec'] must describe discrete actions, integers () with minimum=0, or continuous ones, floats "
            f"[k]; got {given!r}."
        )
    return given


def exploration_rate(spec: EstimatorSpec) -> tf.Tensor:
    """The rate that is shown, a float32 scalar; NaN if there is none, infinity if it is NaN.

    Raises:
        TypeError: if it is not a real number.
        ValueError: if it is not a scalar.
    """
    given = spec.extra_ops.get("exploration_rate")
    if given is None:
        return tf.constant(np.nan, tf.float32)
    rate = _numbers("extra_ops['exploration_rate']", given)
    if rate.shape.rank not in (0, None):
        raise ValueError(f"extra_ops['exploration_rate'] must be a scalar, got shape {tuple(rate.shape)}.")
    rate = tf.ensure_shape(tf.cast(rate, tf.float32), [])
    return tf.where(tf.math.is_nan(rate), np.inf, rate)


def policy(spec: EstimatorSpec) -> BasePolicy | None:
    """The policy that PREDICT mode acts by; a TypeError if it is not a `BasePolicy`."""
    given = spec.extra_ops.get("policy")
    if given is not None and not isinstance(given, BasePolicy):
        raise TypeError(f"extra_ops['policy'] must be a polyrl.policies.BasePolicy, got {given!r}.")
    return given


def priorities(spec: EstimatorSpec, rows: int) -> tf.Tensor:
    """How surprising each row of the batch was, `[rows]`: what the model says, or else the losses.

    Raises:
        TypeError: if they are not real numbers.
        ValueError: if there are none, or not one for each row.
    """
    name, given = "extra_ops['priorities']", spec.extra_ops.get("priorities")
    if given is None:
        name, given = "predictions['losses']", (spec.predictions or {}).get("losses")
    if given is None:
        raise ValueError(
            "A PrioritizedReplay needs extra_ops['priorities'] or predictions['losses'] `[B]` in what model_fn returns in "
            "mode 'train' with labels."
        )
    found = _numbers(name, given)
    if not found.shape.is_compatible_with([rows]):
        raise ValueError(f"{name} must hold one priority for each row of the batch, [{rows}]; got {tuple(found.shape)}.")
    return tf.ensure_shape(found, [rows])


def summaries(spec: EstimatorSpec) -> Summaries:
    """What the panels show.

    Raises:
        TypeError: if it is not a `Summaries`, or has values that are not tensors of real numbers.
        ValueError: if a scalar has another shape, or an image is not `[k, h, w, c]`.
    """
    given = spec.extra_ops.get("summaries")
    if given is None:
        return Summaries.empty()
    if not isinstance(given, Summaries):
        raise TypeError(f"extra_ops['summaries'] must be a polyrl.summaries.Summaries, got {given!r}.")
    for (group, values), rank in zip(given._asdict().items(), (0, None, 4), strict=True):
        name = f"extra_ops['summaries'].{group}"
        if not isinstance(values, Mapping) or not all(isinstance(tag, str) for tag in values):
            raise TypeError(f"{name} must be a dict from tags to tensors, got {values!r}.")
        for tag, value in values.items():
            found = _numbers(f"{name}[{tag!r}]", value).shape
            if rank is not None and found.rank not in (rank, None):
                expected = "a scalar" if rank == 0 else "images [k, h, w, c]"
                raise ValueError(f"{name}[{tag!r}] must be {expected}, got shape {tuple(found)}.")
    return given


def summary_options(spec: EstimatorSpec) -> tuple[str, ...]:
    """The names of the groups of panels; a TypeError or ValueError for others, see `SummaryOptions.validate`."""
    return SummaryOptions.validate(spec.extra_ops.get("summary_options"), "extra_ops['summary_options']")


def support(spec: EstimatorSpec) -> tuple[float, ...] | None:
    """The support of a distribution over returns: the arguments of `SupportHook` after the memory.

    Raises:
        TypeError: if it is not three plain numbers, or five.
        ValueError: if the lowest is not below the highest, or the discount not in [0, 1].
    """
    given = spec.extra_ops.get("support")
    if given is None:
        return None
    name = "extra_ops['support']"
    flat = isinstance(given, (list, tuple)) or (isinstance(given, np.ndarray) and given.ndim == 1)
    if not flat or len(given) not in (3, 5):
        raise TypeError(
            f"{name} must be three numbers, (min_q_value, max_q_value, discount), and two more if rewards are scaled and "
            f"clipped; got {given!r}."
        )
    low, high = check_float(f"{name}[0]", given[0]), check_float(f"{name}[1]", given[1])
    if low >= high:
        raise ValueError(f"{name}={given!r} must have its lowest value, the first, below its highest, the second.")
    scale, clip = given[3:] if len(given) == 5 else (1.0, math.inf)
    clip = math.inf if clip == math.inf else check_float(f"{name}[4]", clip, 0.0)
    return low, high, check_float(f"{name}[2]", given[2], 0.0, 1.0), check_float(f"{name}[3]", scale, 0.0), clip


def _numbers(name: str, value: Any) -> tf.Tensor:
    """A tensor of real numbers, also of plain ones; a TypeError for anything else."""
    try:
        tensor = tf.convert_to_tensor(check_sequence(value))
    except Exception as error:  # Of many kinds: for what is not a number, for rows of different lengths.
        raise TypeError(f"{name} must be a tensor of real numbers, got {value!r}.") from error
    check_real(name, tensor)
    return tensor
