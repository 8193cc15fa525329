"""What the two kinds of storage have in common, and what n-step sampling asks of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import tensorflow as tf

NEXT = "next_"
"""What the names of the columns begin with that tell of the state after a step; in a window they are of its last one."""


class Written(NamedTuple):
    """What a write changed: positions `fresh` `[M]` hold a new transition each, at positions `dead` `[L]` none starts now.

    A position may be in `dead` more than once, but not in both.
    """

    fresh: tf.Tensor
    dead: tf.Tensor


class Storage(Protocol):
    """Keeps transitions by position, int64 below `capacity`. Who samples chooses the positions."""

    capacity: int
    inserted: tf.Variable

    def add(self, rows: Mapping[str, tf.Tensor]) -> Written:
        """Stores one lockstep, `[N, ...]`."""

    def draw(self, seed: tf.Tensor, count: int) -> tf.Tensor:
        """Positions `[count]` of transitions, uniformly, independently, with replacement."""

    def gather(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        """The transitions at `positions` `[B]`; with `n_step` > 1 `reward`, `done` and `truncated` are windows `[B, n]`."""

    def stored(self) -> tf.Tensor:
        """How many positions a transition starts at, int64 scalar."""

    def start_episodes(self) -> None:
        """What comes next does not continue the episodes stored last."""

    @property
    def columns(self) -> dict[str, tf.Tensor]:
        """All that is stored, by position, unused room included."""


class Window(NamedTuple):
    """`truncated` `[B, n]`, with the end of what is stored marked; `last` int64 `[B]`, the last step that counts, from 0."""

    truncated: tf.Tensor
    last: tf.Tensor


def close_window(done: tf.Tensor, truncated: tf.Tensor, newer: tf.Tensor) -> Window:
    """Ends each window where its episode ends, or at the newest step stored, where it bootstraps.

    Args:
        done: whether step `t` terminated the episode, float32 `[B, n]`.
        truncated: whether step `t` ended it by a limit, float32 `[B, n]`.
        newer: how many steps of the same environment were stored after the window's first, int64 `[B]`.
    """
    steps = tf.range(done.shape[1], dtype=tf.int64)  # [n]
    truncated = tf.maximum(truncated, tf.cast(steps >= newer[:, tf.newaxis], tf.float32))
    ended = tf.maximum(done, truncated) > 0.0
    return Window(truncated, tf.reduce_min(tf.where(ended, steps, steps[-1]), axis=1))
