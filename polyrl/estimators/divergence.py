"""A run that has diverged is told so: its first sign may be an action that does not exist."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from polyrl.errors import NonFiniteError, UnknownActionError
from polyrl.models.scope import Scope

HUGE = 1e15
"""Weights of this size make action values of float32 infinite."""


@contextlib.contextmanager
def divergence_named(scope: Scope, write_back: Callable[[], None]) -> Iterator[None]:
    """Inside of the `with` block, an `UnknownActionError` of a model whose weights have diverged is a `NonFiniteError`.

    The largest of several NaN is none of them, so that no action is the best one.

    Args:
        scope: where the weights are.
        write_back: brings them up to date.
    """
    try:
        yield
    except UnknownActionError as error:
        write_back()
        for variable in scope.variables:
            largest = float(np.max(np.abs(variable.numpy()), initial=0.0)) if variable.dtype.is_floating else 0.0
            if not largest < HUGE:
                raise NonFiniteError(
                    f"The largest number in {variable.name} is {largest} after {int(scope.global_step.numpy())} updates: "
                    "training has diverged. The checkpoints written before it are as they were. A smaller learning rate or "
                    "reward scale, or clip_gradients, may help; so may states of about 1."
                ) from error
        raise
