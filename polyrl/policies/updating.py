"""Moves the variables of a policy towards those of another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from polyrl.policies.arguments import current_value


def update_variables(
    source: Sequence[tf.Variable],
    target: Sequence[tf.Variable],
    tau: Any = 1.0,
    tau_non_trainable: Any = None,
    sort_by_name: bool = False,
) -> tf.Tensor:
    """Assigns `tau * source + (1 - tau) * target` to each target variable; works eagerly and in a graph.

    Args:
        source: the variables to move towards.
        target: the variables that are assigned.
        tau: number or scalar tensor in [0, 1]; 1 copies exactly, 0 leaves the target unchanged.
        tau_non_trainable: the same for the variables of `target` that are not trainable; None means `tau`.
        sort_by_name: whether variables are paired in the order of their names instead of the given order.

    Returns:
        The number of variables, int32 `[]`; in a graph this tensor depends on all assignments.

    Raises:
        ValueError: if a tau lies outside [0, 1], if the variables do not match, or if integers would be averaged.
        tf.errors.InvalidArgumentError: if a graph computes a tau outside [0, 1].
    """
    taus = {True: current_value("tau", tau, 0.0, 1.0)}
    taus[False] = taus[True]
    if tau_non_trainable is not None:
        taus[False] = current_value("tau_non_trainable", tau_non_trainable, 0.0, 1.0)
    if sort_by_name:
        source, target = (sorted(variables, key=_natural) for variables in (source, target))
    _check_pairs(source, target)
    values = [_average(taus[old.trainable], new, old) for new, old in zip(source, target, strict=True)]
    assigned = [old.assign(value) for old, value in zip(target, values, strict=True) if value is not None]
    with tf.control_dependencies(assigned):
        return tf.constant(len(target)) + 0  # A constant would not depend on the assignments.


def _average(tau: tf.Tensor, new: tf.Variable, old: tf.Variable) -> tf.Tensor | None:
    """The new value; None if it is unchanged."""
    known = tf.get_static_value(tau)
    if known == 0.0:
        return None
    if known == 1.0:
        return new.read_value()
    if not (old.dtype.is_floating or old.dtype.is_complex):
        raise ValueError(f"{old.name} has dtype {old.dtype.name} and cannot be averaged: its tau must be 0 or 1, got {known}.")
    share = tf.cast(tau, old.dtype)
    return share * new + (1 - share) * old


def _natural(variable: tf.Variable) -> list[Any]:
    """A sort key that puts `dense_9` before `dense_10`; sorted as text, the layers of two networks would be mismatched."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", variable.name)]


def _check_pairs(source: Sequence[tf.Variable], target: Sequence[tf.Variable]) -> None:
    if len(source) != len(target):
        theirs, ours = ([variable.name for variable in variables] for variables in (source, target))
        raise ValueError(
            f"The other policy has {len(theirs)} variables {theirs}, this one {len(ours)} {ours}. A network that builds its "
            "variables at its first call must be called before."
        )
    differences = [
        f"{new.name} of the other policy is {new.dtype.name} {tuple(new.shape)}, but its counterpart {old.name} of this one "
        f"is {old.dtype.name} {tuple(old.shape)}"
        for new, old in zip(source, target, strict=True)
        if new.shape != old.shape or new.dtype != old.dtype
    ]
    if differences:
        raise ValueError(f"{'; '.join(differences)}.")
