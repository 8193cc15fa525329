"""Exceptions for users to catch, where a builtin type would not be specific enough."""

from __future__ import annotations


class NotTrainedError(ValueError):
    """The `model_dir` has no checkpoint to evaluate or predict with."""


class CheckpointMismatchError(ValueError):
    """The variables in a checkpoint do not match those of the model that reads it."""


class NonFiniteError(ArithmeticError):
    """A NaN or infinity in an observation, a reward or a loss; training stops before it reaches the weights."""
