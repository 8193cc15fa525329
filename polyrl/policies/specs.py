"""What goes into a policy and what comes out, and the specs that describe it."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

TensorSpec = tf.TensorSpec


@dataclasses.dataclass(frozen=True)
class BoundedTensorSpec:
    """A tensor of one shape and dtype whose values lie in `[minimum, maximum]`: numbers, or one for each element."""

    shape: tuple[int, ...]
    dtype: tf.DType
    minimum: Any
    maximum: Any
    name: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "dtype", tf.as_dtype(self.dtype))
        for bound in ("minimum", "maximum"):
            values = np.asarray(getattr(self, bound))
            if values.shape not in ((), self.shape):
                raise ValueError(f"{bound} has shape {values.shape}; asked for is () or {self.shape}.")
            object.__setattr__(self, bound, _tuples(values.tolist()))  # Tuples compare, arrays do not.
            if np.isnan(values).any() or (self.dtype.is_integer and not _fits(values, self.dtype)):
                raise ValueError(f"{bound}={getattr(self, bound)} is no value of dtype {self.dtype.name}.")
        if np.any(np.asarray(self.minimum) > np.asarray(self.maximum)):
            raise ValueError(f"minimum={self.minimum} must not exceed maximum={self.maximum}.")


class StepType:
    """Where in its episode a time step lies."""

    FIRST = 0
    MID = 1
    LAST = 2


class TimeStep(NamedTuple):
    """What an environment gives: `step_type` int32 `[B]`, `reward` `[B]`, `discount` `[B]`, `observation` `[B, ...]`.

    `reward` is that of the step that led here. `discount` is 0 where the episode terminated, 1 else: at a last step with
    discount 1 the episode was truncated.
    """

    step_type: Any
    reward: Any
    discount: Any
    observation: Any

    @classmethod
    def restart(cls, observation: Any, batch_size: Any) -> TimeStep:
        """First steps of `batch_size` episodes."""
        zeros = tf.zeros([batch_size], tf.float32)
        return cls(tf.fill([batch_size], StepType.FIRST), zeros, tf.ones_like(zeros), observation)

    @classmethod
    def transition(cls, observation: Any, reward: Any, discount: Any = 1.0) -> TimeStep:
        """Steps within episodes; `reward` `[B]`, `discount` `[B]` or one for all."""
        return cls._of(StepType.MID, observation, reward, discount)

    @classmethod
    def termination(cls, observation: Any, reward: Any) -> TimeStep:
        """Last steps of episodes that have come to their end; `reward` `[B]`."""
        return cls._of(StepType.LAST, observation, reward, 0.0)

    @classmethod
    def truncation(cls, observation: Any, reward: Any, discount: Any = 1.0) -> TimeStep:
        """Last steps of episodes that were broken off; `reward` `[B]`, `discount` `[B]` or one for all."""
        return cls._of(StepType.LAST, observation, reward, discount)

    def is_first(self) -> tf.Tensor:
        """Where an episode begins, bool `[B]`."""
        return tf.equal(self.step_type, StepType.FIRST)

    def is_last(self) -> tf.Tensor:
        """Where an episode is over, bool `[B]`."""
        return tf.equal(self.step_type, StepType.LAST)

    @classmethod
    def _of(cls, step_type: int, observation: Any, reward: Any, discount: Any) -> TimeStep:
        reward = tf.convert_to_tensor(reward, tf.float32)
        discount = tf.broadcast_to(tf.convert_to_tensor(discount, tf.float32), tf.shape(reward))
        return cls(tf.fill(tf.shape(reward), step_type), reward, discount, observation)


class PolicyInfo(NamedTuple):
    """Side information on a chosen action: the logarithm of its probability, float32 `[B]`."""

    log_probability: Any


class PolicyStep(NamedTuple):
    """What a policy gives: an action (or a distribution over actions), its next state, and side information."""

    action: Any
    state: Any = ()
    info: Any = ()


class Trajectory(NamedTuple):
    """What is written of a step: a time step, the action taken and what the policy said of it, and what came of that."""

    step_type: Any
    observation: Any
    action: Any
    policy_info: Any
    next_step_type: Any
    reward: Any
    discount: Any

    @classmethod
    def from_transition(cls, time_step: TimeStep, policy_step: PolicyStep, next_time_step: TimeStep) -> Trajectory:
        """The step from `time_step` to `next_time_step`."""
        return cls(
            time_step.step_type,
            time_step.observation,
            policy_step.action,
            policy_step.info,
            next_time_step.step_type,
            next_time_step.reward,
            next_time_step.discount,
        )


def time_step_spec(observation_spec: Any) -> TimeStep:
    """The spec of time steps with such observations (a nest of `tf.TensorSpec` without the batch dimension)."""
    scalar = tf.TensorSpec([], tf.float32)
    return TimeStep(tf.TensorSpec([], tf.int32), scalar, scalar, observation_spec)


def _tuples(values: Any) -> Any:
    return tuple(_tuples(value) for value in values) if isinstance(values, list) else values


def _fits(values: np.ndarray, dtype: tf.DType) -> bool:
    whole = bool(np.all(np.isfinite(values) & (np.floor(values) == values)))
    return whole and bool(np.all((values >= dtype.min) & (values <= dtype.max)))
