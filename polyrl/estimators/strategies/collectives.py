"""`Group`: what the processes of a cluster send each other, by the collective operations of TensorFlow.

`tf.distribute.MultiWorkerMirroredStrategy` connects the processes. It numbers its own collective operations by the order in
which calls are made, and so would need the same calls in each process; here each has a number of its own, and a process may
run them in a loop while another calls them one by one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

GROUP_KEY = 100
"""That of all processes; TensorFlow's own begin with 1."""

OF_AN_UPDATE = 1_000
"""Numbers that the operations of an update have."""

MESSAGES = 1_000_000_000
"""Numbers from here on are of messages between two updates."""


class Group:
    """The processes of a cluster, each with one device.

    Args:
        index: of this one.
        count: how many there are.
        connection: what must live as long as they compute together.
    """

    def __init__(self, index: int, count: int, connection: Any = None):
        self.index, self.count, self._connection = index, count, connection
        self._next = self._messages = self._updates = 0
        # Operations that take it run in the order in which they were made.
        self._order = tf.Variable(0, trainable=False, name="order")

    @contextlib.contextmanager
    def numbered(self, first: int) -> Iterator[None]:
        """Operations in the `with` block are numbered from `first` on: those of the same number belong together."""
        self._next, before = first, self._next
        try:
            yield
        finally:
            self._next = before

    def new_numbers(self) -> int:
        """The first of `OF_AN_UPDATE` numbers that have not been used, of what one process decides."""
        self._updates += OF_AN_UPDATE
        return self._updates - OF_AN_UPDATE

    def sum(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The sums over all processes, each of which calls this with tensors of the same shapes, in the same order."""
        return [self._sum(tensor) for tensor in tensors]

    def scatter(self, shares: tf.Tensor) -> tf.Tensor:
        """What the first process has for this one, `[n]`, of the shares of all, `[count, n]`; those of the others are passed
        over, but must have the same shape."""
        with tf.device("CPU:0"):
            given = tf.raw_ops.CollectiveAllToAllV2(input=shares, **self._numbered_operation())
        return given[0]

    def broadcast(self, data: bytes | None) -> bytes:
        """What the first process says, outside of any graph; the others say None."""
        size = int(self._message(np.array([0 if data is None else len(data)], np.int32))[0])
        words = np.zeros(-(-size // 4), np.int32)
        if data is not None:
            words.view(np.uint8)[:size] = np.frombuffer(data, np.uint8)
        return self._message(words).tobytes()[:size] if size else b""

    def refusing(self, refuses: bool) -> int:
        """How many processes refuse what the first one has said; all call it, outside of any graph."""
        return int(self._message(np.array([refuses], np.int32))[0])

    def _message(self, words: np.ndarray) -> np.ndarray:
        with self.numbered(MESSAGES + self._messages):
            self._messages += 1
            return np.asarray(self._sum(tf.constant(words)).numpy())

    def _sum(self, tensor: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU:0"):
            operation = self._numbered_operation()
            return tf.raw_ops.CollectiveReduceV2(input=tensor, merge_op="Add", final_op="Id", **operation)

    def _numbered_operation(self) -> dict[str, Any]:
        number, self._next = self._next, self._next + 1
        return {
            "group_size": self.count,
            "group_key": GROUP_KEY,
            "instance_key": number,
            "ordering_token": [self._order.handle],
            "communication_hint": "ring",
        }


def as_words(tensor: tf.Tensor) -> tf.Tensor:
    """The bytes of a tensor, as int32 `[n]`: integers that a sum with zeros leaves as they are."""
    tensor = tf.cast(tensor, tf.uint8) if tensor.dtype == tf.bool else tensor
    flat, size = tf.reshape(tensor, [-1]), tensor.dtype.size
    if size > 4:
        return tf.reshape(tf.bitcast(flat, tf.int32), [-1])
    each = 4 // size
    padded = tf.pad(flat, [[0, -flat.shape[0] % each]])
    return tf.bitcast(padded if each == 1 else tf.reshape(padded, [-1, each]), tf.int32)


def from_words(words: tf.Tensor, spec: Any) -> tf.Tensor:
    """The reverse of `as_words`, for a tensor of a spec."""
    dtype = tf.uint8 if spec.dtype == tf.bool else spec.dtype
    if dtype.size > 4:
        flat = tf.bitcast(tf.reshape(words, [-1, dtype.size // 4]), dtype)
    else:
        flat = tf.reshape(tf.bitcast(words, dtype), [-1])[: spec.shape.num_elements()]
    return tf.cast(tf.reshape(flat, spec.shape), spec.dtype)


def size_in_words(spec: Any) -> int:
    """How many there are for a tensor of a spec."""
    return int(-(-spec.shape.num_elements() * (1 if spec.dtype == tf.bool else spec.dtype.size) // 4))
