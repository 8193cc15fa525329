"""The state of recurrent layers: what a forward pass begins with, and what it leaves.

Networks are functions of their inputs alone, `[B, ...]`. Who calls one that has recurrent layers says with `unrolling` how its
rows follow each other and what the layers remember, and reads afterwards what they remember then. Without, each row is the
first of an episode.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf


class Unroll(NamedTuple):
    """How the rows of a forward pass follow each other: `S` sequences of `T` steps, row `s T + t` is step `t` of sequence `s`.

    `state` float32 `[S, H]` is what all recurrent layers remember before the first step, side by side; None: nothing.
    `ended` float32 `[S, T]` is 1 where an episode ended with this step; None: the sequences have one step. No gradient reaches
    back behind the first `burn_in` steps.
    """

    state: tf.Tensor | None = None
    ended: tf.Tensor | None = None
    burn_in: int = 0

    @property
    def length(self) -> int:
        """Steps of a sequence, `T`."""
        return 1 if self.ended is None else int(self.ended.shape[1])


class ForwardPass:
    """One that is unrolled: gives each recurrent layer its part of the state, in the order in which they are run.

    Attributes:
        unroll: how the rows follow each other.
        taken: numbers of the state that layers have asked for so far.
    """

    def __init__(self, unroll: Unroll):
        self.unroll = unroll
        self.taken = 0
        self._left: list[tf.Tensor] = []

    def take(self, size: int) -> tf.Tensor | None:
        """What the layer that asks remembers before the first step, `[S, size]`; None: nothing."""
        begin, self.taken = self.taken, self.taken + size
        state = self.unroll.state
        if state is None:
            return None
        if not state.shape[1:].is_compatible_with([None]) or (state.shape[1] or self.taken) < self.taken:
            raise self._other("at least ")
        return state[:, begin : self.taken]

    def check_end(self) -> None:
        """A ValueError if there was more in the state than the layers have asked for: it is another network's."""
        state = self.unroll.state
        if state is not None and 0 < self.taken < (state.shape[1] or 0):
            raise self._other("")

    def _other(self, least: str) -> ValueError:
        assert self.unroll.state is not None
        return ValueError(
            f"network_state has shape {tuple(self.unroll.state.shape)}, and the recurrent layers of the network remember "
            f"{least}{self.taken} numbers for each row."
        )

    def leave(self, states: tf.Tensor) -> None:
        """Notes what that layer remembers after each step, `[S T, size]`."""
        self._left.append(states)

    @property
    def states(self) -> tf.Tensor | None:
        """What all of them remember after each step, float32 `[S T, H]`; None if there are none."""
        return tf.concat([tf.cast(states, tf.float32) for states in self._left], axis=1) if self._left else None


_present: contextvars.ContextVar[ForwardPass | None] = contextvars.ContextVar("unrolled", default=None)


@contextlib.contextmanager
def unrolling(unroll: Unroll) -> Iterator[ForwardPass]:
    """Inside of the `with` block is one forward pass whose rows follow each other so."""
    forward = ForwardPass(unroll)
    token = _present.set(forward)
    try:
        yield forward
        forward.check_end()
    finally:
        _present.reset(token)


def forward_pass() -> ForwardPass:
    """The forward pass that runs the layer which asks."""
    return _present.get() or ForwardPass(Unroll())
