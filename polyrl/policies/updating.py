"""Variables moved towards those of another policy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from polyrl.policies.arguments import present


def update_variables(
    source: Sequence[tf.Variable],
    target: Sequence[tf.Variable],
    tau: Any = 1.0,
    tau_non_trainable: Any = None,
    sort_by_name: bool = False,
) -> tf.Tensor:
    """`target = tau * source + (1 - tau) * target`, variable by variable; works eagerly and in a graph.

    Args:
        source: where to.
        target: these are assigned.
        tau: number or scalar tensor in [0, 1]; 1 copies exactly, 0 leaves as it is.
        tau_non_trainable: the same for those of `target` that are not trainable; None is `tau`.
        sort_by_name: pairs the variables in the order of their names, instead of that in which they come.

    Returns:
        How many variables there were, int32 `[]`, known when all are assigned.

    Raises:
        ValueError: if a tau lies outside [0, 1], if the variables do not pair, or if integers would be averaged.
        tf.errors.InvalidArgumentError: for a tau outside [0, 1] that only the graph knows.
    """
    taus = {True: present("tau", tau, 0.0, 1.0)}
    taus[False] = taus[True] if tau_non_trainable is None else present("tau_non_trainable", tau_non_trainable, 0.0, 1.0)
    if sort_by_name:
        source, target = (sorted(variables, key=_natural) for variables in (source, target))
    _check_pairs(source, target)
    values = [_average(taus[old.trainable], new, old) for new, old in zip(source, target, strict=True)]
    assigned = [old.assign(value) for old, value in zip(target, values, strict=True) if value is not None]
    with tf.control_dependencies(assigned):
        return tf.constant(len(target)) + 0  # A constant would not wait.


def _average(tau: tf.Tensor, new: tf.Variable, old: tf.Variable) -> tf.Tensor | None:
    """The new value; None if it is the old one."""
    known = tf.get_static_value(tau)
    if known == 0.0:
        return None
    if known == 1.0:
        return new.read_value()
    if not (old.dtype.is_floating or old.dtype.is_complex):
        raise ValueError(f"{old.name} has dtype {old.dtype.name}, which has no averages: use 0 or 1 for its tau={known}.")
    share = tf.cast(tau, old.dtype)
    return share * new + (1 - share) * old


def _natural(variable: tf.Variable) -> list[Any]:
    """Orders `dense_9` before `dense_10`: numbered layers of two networks would pair wrongly by plain text."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", variable.name)]


def _check_pairs(source: Sequence[tf.Variable], target: Sequence[tf.Variable]) -> None:
    if len(source) != len(target):
        theirs, ours = ([variable.name for variable in variables] for variables in (source, target))
        raise ValueError(f"The other policy has {len(theirs)} variables {theirs}, this one {len(ours)} {ours}.")
    differences = [
        f"{new.name} of the other policy is {new.dtype.name} {tuple(new.shape)}, its counterpart here {old.name} is "
        f"{old.dtype.name} {tuple(old.shape)}"
        for new, old in zip(source, target, strict=True)
        if new.shape != old.shape or new.dtype != old.dtype
    ]
    if differences:
        raise ValueError(f"{'; '.join(differences)}.")
