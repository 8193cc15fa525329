"""Random numbers inside of a network: a forward pass that draws gives each layer that asks a seed of its own.

Noise is drawn in training alone. Who calls a network says so, with `drawing`; without, such layers compute their mean. The
numbers follow from counters of the run, so that a resumed run draws the same ones.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator

import tensorflow as tf


class ForwardPass:
    """One that draws; counts how often its layers have asked for a seed, in the order in which they are run.

    Attributes:
        learns: whether it is part of an update, and not of acting.
    """

    def __init__(self, seed: Callable[[int], tf.Tensor], learns: bool):
        self._seed, self.learns, self._asked = seed, learns, 0

    def next_seed(self) -> tf.Tensor:
        """A seed int `[2]` for the layer that asks."""
        self._asked += 1
        return self._seed(self._asked - 1)


_present: contextvars.ContextVar[ForwardPass | None] = contextvars.ContextVar("forward_pass", default=None)


@contextlib.contextmanager
def drawing(seed: Callable[[int], tf.Tensor], learns: bool = True) -> Iterator[None]:
    """Inside of the `with` block is one forward pass that draws.

    Args:
        seed: `seed(number)`, int `[2]`, for the layer that is the `number`-th to ask, counted from 0.
        learns: whether it is part of an update, and not of acting.
    """
    token = _present.set(ForwardPass(seed, learns))
    try:
        yield
    finally:
        _present.reset(token)


def forward_pass() -> ForwardPass | None:
    """The forward pass that runs the layer which asks; None where nothing is drawn."""
    return _present.get()
