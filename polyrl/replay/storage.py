"""The interface of the storages, and the n-step windows that both of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import tensorflow as tf

NEXT = "next_"
"""Prefix of the columns that belong to the next state; in an n-step window, to the state after its last step."""


class Written(NamedTuple):
    """What a write changed: each of the positions `new` `[M]` holds a new transition, none of `invalid` `[L]` does any longer.

    A position may occur in `invalid` more than once, but never in both.
    """

    new: tf.Tensor
    invalid: tf.Tensor


class Ring(NamedTuple):
    """Rows that are written in turn, the oldest overwritten: row `number` lies at the position `first + number % size`.

    Rows are counted since the run began. Those before `end` hold something, those before `final` will not change any more.
    """

    first: int
    size: int
    end: int
    final: int

    @property
    def begin(self) -> int:
        """The oldest row that has not been overwritten."""
        return max(self.end - self.size, 0)


class Rows(NamedTuple):
    """What is large in a storage: variables `[capacity, ...]`, and the rings that each of them consists of.

    `constant`: variables that are the same in each run, as demonstrations; a checkpoint need not hold them.
    """

    columns: Mapping[str, tf.Variable]
    rings: Sequence[Ring]
    constant: Sequence[tf.Variable] = ()


class Storage(Protocol):
    """Keeps transitions by position, int64 below `capacity`. The memory that samples chooses the positions."""

    capacity: int
    inserted: tf.Variable

    @property
    def variables(self) -> Sequence[tf.Variable]:
        """All that it consists of."""

    def add(self, rows: Mapping[str, tf.Tensor]) -> Written:
        """Stores one step of all environments, `[N, ...]`."""

    def draw(self, seed: tf.Tensor, count: int) -> tf.Tensor:
        """Positions `[count]` of transitions, drawn uniformly and independently, with replacement."""

    def gather(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        """The transitions at `positions` `[B]`; with `n_step` > 1 `reward`, `done` and `truncated` are windows `[B, n]`."""

    def stored(self) -> tf.Tensor:
        """Number of positions at which a transition starts, int64 scalar."""

    def start_episodes(self) -> None:
        """Marks that the next rows do not continue the episodes stored last."""

    def newest(self, steps: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The rewards of up to `steps` newest steps, and where an episode terminated or was truncated: float32 `[T, N]` each,
        oldest first."""

    @property
    def rows(self) -> Rows:
        """What a checkpoint holds row by row; every other variable is small."""

    @property
    def columns(self) -> dict[str, tf.Tensor]:
        """Everything that is stored, by position, including unused rows."""


class Window(NamedTuple):
    """`truncated` `[B, n]`, also set where the stored steps end; `last` int64 `[B]`, the last step that counts, from 0."""

    truncated: tf.Tensor
    last: tf.Tensor


def close_window(done: tf.Tensor, truncated: tf.Tensor, newer: tf.Tensor) -> Window:
    """Ends each window where its episode ends, or at the newest stored step, from which it then bootstraps.

    Args:
        done: whether step `t` terminated the episode, float32 `[B, n]`.
        truncated: whether step `t` truncated the episode, float32 `[B, n]`.
        newer: number of steps of the same environment stored after the window's first step, int64 `[B]`.
    """
    steps = tf.range(done.shape[1], dtype=tf.int64)  # [n]
    truncated = tf.maximum(truncated, tf.cast(steps >= newer[:, tf.newaxis], tf.float32))
    ended = tf.maximum(done, truncated) > 0.0
    return Window(truncated, tf.reduce_min(tf.where(ended, steps, steps[-1]), axis=1))
