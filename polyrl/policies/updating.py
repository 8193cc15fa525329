"""Variables moved towards those of another policy."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

from polyrl.validation import check_float

import tensorflow as tf


def update_variables(
    source: Sequence[tf.Variable],
    target: Sequence[tf.Variable],
    tau: Any = 1.0,
    tau_non_trainable: Any = None,
    sort_by_name: bool = False,
) -> Any:
    """`target = tau * source + (1 - tau) * target`, variable by variable; works eagerly and in a graph.

    Args:
        source: where to.
        target: these are assigned.
        tau: number or scalar tensor in [0, 1]; 1 copies exactly, 0 leaves as it is.
        tau_non_trainable: the same for those of `target` that are not trainable; None is `tau`.
        sort_by_name: pairs the variables in the order of their names, instead of that in which they come.

    Returns:
        An operation in a graph, None eagerly.

    Raises:
        ValueError: if a tau lies outside [0, 1], if the variables do not pair, or if one of integers would be averaged.
    """
    shared = tau_non_trainable is None
    taus = {True: _checked("tau", tau), False: _checked("tau_non_trainable", tau if shared else tau_non_trainable)}
    if sort_by_name:
        source, target = (sorted(variables, key=lambda variable: variable.name) for variables in (source, target))
    _check_pairs(source, target)
    assigned = []
    for new, old in zip(source, target, strict=True):
        share = taus[old.trainable]
        if isinstance(share, numbers.Real):
            if share == 0.0:
                continue
            if share == 1.0:
                assigned.append(old.assign(new))
                continue
        if not old.dtype.is_floating:
            raise ValueError(f"{old.name} has dtype {old.dtype.name}, which has no averages: use 0 or 1 for its tau={share}.")
        share = tf.cast(share, old.dtype)
        assigned.append(old.assign(share * new + (1 - share) * old))
    return tf.group(*assigned)


def _checked(name: str, tau: Any) -> Any:
    """A float in [0, 1]; or a tensor whose value is not known yet, as it is."""
    value = tf.get_static_value(tau) if tf.is_tensor(tau) else tau
    return tau if value is None else check_float(name, value.item() if hasattr(value, "item") else value, 0.0, 1.0)


def _check_pairs(source: Sequence[tf.Variable], target: Sequence[tf.Variable]) -> None:
    if len(source) != len(target):
        theirs, ours = ([variable.name for variable in variables] for variables in (source, target))
        raise ValueError(f"The other policy has {len(theirs)} variables {theirs}, this one {len(ours)} {ours}.")
    for new, old in zip(source, target, strict=True):
        if new.shape != old.shape or new.dtype != old.dtype:
            raise ValueError(
                f"{new.name} of the other policy is {new.dtype.name} {tuple(new.shape)}, its counterpart here {old.name} is "
                f"{old.dtype.name} {tuple(old.shape)}."
            )
