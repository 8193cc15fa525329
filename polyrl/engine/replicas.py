"""Replicas: devices or processes that compute an update together, each for its share of the batch's rows.

Who runs one of them says so, with `as_replica`. Models then take the mean of their gradients over all; outside of it there is
one, and nothing changes.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

Add = Callable[[Sequence[tf.Tensor]], list[tf.Tensor]]


class Replica:
    """One of several.

    Args:
        index: which one, from 0; an int or an int32 scalar.
        count: how many there are.
        add: the sums over all replicas of tensors; called by each of them, in the same order.

    Attributes:
        sum: `add`.
        averaged: whether the mean of gradients was taken.
    """

    def __init__(self, index: Any, count: int, add: Add):
        self.index, self.count, self.sum = index, count, add
        self.averaged = False

    def mean(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The means over all replicas; of integers, as counters are, the replica's own."""
        floats = [tensor for tensor in tensors if tensor.dtype.is_floating]
        means = iter([total / tf.cast(self.count, total.dtype) for total in self.sum(floats)])
        return [next(means) if tensor.dtype.is_floating else tensor for tensor in tensors]

    def rows(self, tensor: tf.Tensor) -> tf.Tensor:
        """The replica's share of all rows, `[B, ...]` to `[B / count, ...]`; each has as many."""
        number = tensor.shape[0] if tensor.shape[0] is not None else tf.shape(tensor)[0]
        share = number // self.count
        if isinstance(number, int) and number % self.count:
            raise ValueError(f"{number} rows, or sequences, of a batch cannot be divided equally among {self.count} replicas.")
        return tf.ensure_shape(tensor[self.index * share : (self.index + 1) * share], [_size(share), *tensor.shape[1:]])

    def spread(self, rows: tf.Tensor) -> tf.Tensor:
        """The values of its own rows, `[B / count]`, where they are among those of all, `[B]`; zeros elsewhere."""
        own = tf.one_hot(self.index, self.count, dtype=rows.dtype)
        return tf.reshape(own[:, tf.newaxis] * rows[tf.newaxis, :], [-1])


_present: contextvars.ContextVar[Replica | None] = contextvars.ContextVar("replica", default=None)


@contextlib.contextmanager
def as_replica(replica: Replica) -> Iterator[Replica]:
    """What is computed inside of the `with` block is the replica's part."""
    token = _present.set(replica)
    try:
        yield replica
    finally:
        _present.reset(token)


def mean_over_replicas(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The means over all replicas of what each of them has; the tensors themselves where there is one."""
    replica = _present.get()
    return list(tensors) if replica is None else replica.mean(tensors)


def mean_gradients(gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The means over all replicas of the gradients that each of them has found; themselves where there is one."""
    replica = _present.get()
    if replica is None:
        return list(gradients)
    replica.averaged = True
    return replica.mean(gradients)


def own_rows(draw: Callable[[Any], tf.Tensor], rows: Any) -> tf.Tensor:
    """`draw(rows)`, random numbers for each of the rows: each replica has those that its rows have in the whole batch."""
    replica = _present.get()
    return draw(rows) if replica is None else replica.rows(draw(rows * replica.count))


def batch_moments(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mean and variance of the columns of a batch `[B, ...]`, over the rows of all replicas; and how many rows these are."""
    mean, variance = tf.nn.moments(values, axes=[0])
    rows = tf.cast(tf.shape(values)[0], values.dtype)
    replica = _present.get()
    if replica is None:
        return mean, variance, rows
    whole, square = replica.mean([mean, variance + tf.square(mean)])
    return whole, square - tf.square(whole), rows * replica.count


def _size(number: Any) -> int | None:
    return number if isinstance(number, int) else None
