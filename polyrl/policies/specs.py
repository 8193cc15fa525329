"""What goes into a policy and what comes out, and the specs that describe it."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class BoundedTensorSpec:
    """A tensor of one shape and dtype whose values lie in `[minimum, maximum]`."""

    shape: tuple[int, ...]
    dtype: tf.DType
    minimum: float
    maximum: float
    name: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "dtype", tf.as_dtype(self.dtype))
        if self.minimum > self.maximum:
            raise ValueError(f"minimum={self.minimum} must not exceed maximum={self.maximum}.")


class StepType:
    """Where in its episode a time step lies."""

    FIRST = 0
    MID = 1
    LAST = 2


class TimeStep(NamedTuple):
    """What an environment gives: `step_type` int32 `[B]`, `reward` `[B]`, `discount` `[B]`, `observation` `[B, ...]`."""

    step_type: Any
    reward: Any
    discount: Any
    observation: Any

    @classmethod
    def restart(cls, observation: Any, batch_size: Any) -> TimeStep:
        """First steps of `batch_size` episodes."""
        zeros = tf.zeros([batch_size], tf.float32)
        return cls(tf.fill([batch_size], StepType.FIRST), zeros, tf.ones_like(zeros), observation)


class PolicyStep(NamedTuple):
    """What a policy gives: an action (or a distribution over actions), its next state, and side information."""

    action: Any
    state: Any = ()
    info: Any = ()


def time_step_spec(observation_spec: Any) -> TimeStep:
    """The spec of time steps with such observations (a nest of `tf.TensorSpec` without the batch dimension)."""
    scalar = tf.TensorSpec([], tf.float32)
    return TimeStep(tf.TensorSpec([], tf.int32), scalar, scalar, observation_spec)
