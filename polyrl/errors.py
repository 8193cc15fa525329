"""Errors that users can meet, where a builtin type would not say enough."""

from __future__ import annotations


class NotTrainedError(ValueError):
    """Evaluation or prediction was asked of a `model_dir` that holds no checkpoint."""


class CheckpointMismatchError(ValueError):
    """A checkpoint holds other variables than the model that should read it."""


class NonFiniteError(ArithmeticError):
    """A NaN or an infinity in an observation, a reward or a loss; training stops before it spreads."""
