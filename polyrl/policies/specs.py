"""The inputs and outputs of a policy, and the specs that describe them."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

TensorSpec = tf.TensorSpec


@dataclasses.dataclass(frozen=True)
class BoundedTensorSpec:
    """Describes a tensor whose elements lie in `[minimum, maximum]`.

    Args:
        shape: without the batch dimension.
        dtype: a `tf.DType`, or its name.
        minimum: the lowest value: one number for all elements, or an array of `shape`.
        maximum: the highest value, likewise.
        name: of the tensor.

    Raises:
        ValueError: if a bound has another shape or does not fit the dtype, or a minimum exceeds its maximum.
    """

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
                raise ValueError(f"{bound} has shape {values.shape}, expected () or {self.shape}.")
            object.__setattr__(self, bound, _tuples(values.tolist()))  # Unlike arrays, tuples can be compared.
            if np.isnan(values).any() or (self.dtype.is_integer and not _fits(values, self.dtype)):
                raise ValueError(f"{bound}={getattr(self, bound)} is not a value of dtype {self.dtype.name}.")
        if np.any(np.asarray(self.minimum) > np.asarray(self.maximum)):
            raise ValueError(f"minimum={self.minimum} must not exceed maximum={self.maximum}.")


class StepType:
    """The position of a time step in its episode."""

    FIRST = 0
    MID = 1
    LAST = 2


class TimeStep(NamedTuple):
    """What an environment returns: `step_type` int32 `[B]`, `reward` `[B]`, `discount` `[B]`, `observation` `[B, ...]`.

    `reward` is the reward of the step that led to this observation. `discount` is 0 where the episode terminated and 1
    elsewhere: at a last step with discount 1 the episode was truncated.
    """

    step_type: Any
    reward: Any
    discount: Any
    observation: Any

    @classmethod
    def restart(cls, observation: Any, batch_size: Any) -> TimeStep:
        """The first steps of `batch_size` episodes, with reward 0."""
        zeros = tf.zeros([batch_size], tf.float32)
        return cls(tf.fill([batch_size], StepType.FIRST), zeros, tf.ones_like(zeros), observation)

    @classmethod
    def transition(cls, observation: Any, reward: Any, discount: Any = 1.0) -> TimeStep:
        """Steps inside episodes; `reward` `[B]`, `discount` `[B]` or one number for all rows."""
        return cls._of(StepType.MID, observation, reward, discount)

    @classmethod
    def termination(cls, observation: Any, reward: Any) -> TimeStep:
        """The last steps of episodes that terminated, with discount 0; `reward` `[B]`."""
        return cls._of(StepType.LAST, observation, reward, 0.0)

    @classmethod
    def truncation(cls, observation: Any, reward: Any, discount: Any = 1.0) -> TimeStep:
        """The last steps of episodes that were truncated; `reward` `[B]`, `discount` `[B]` or one number for all rows."""
        return cls._of(StepType.LAST, observation, reward, discount)

    def is_first(self) -> tf.Tensor:
        """Which rows are the first step of an episode, bool `[B]`."""
        return tf.equal(self.step_type, StepType.FIRST)

    def is_last(self) -> tf.Tensor:
        """Which rows are the last step of an episode, bool `[B]`."""
        return tf.equal(self.step_type, StepType.LAST)

    @classmethod
    def _of(cls, step_type: int, observation: Any, reward: Any, discount: Any) -> TimeStep:
        reward = tf.convert_to_tensor(reward, tf.float32)
        discount = tf.broadcast_to(tf.convert_to_tensor(discount, tf.float32), tf.shape(reward))
        return cls(tf.fill(tf.shape(reward), step_type), reward, discount, observation)


class PolicyInfo(NamedTuple):
    """Side information on an action: its log-probability, float32 `[B]` (log-density of a continuous action)."""

    log_probability: Any


class PolicyStep(NamedTuple):
    """What a policy returns: an action (or a distribution over actions), the next policy state, and side information."""

    action: Any
    state: Any = ()
    info: Any = ()


class Trajectory(NamedTuple):
    """The record of one step: a time step, the action and the policy's side information, and the outcome."""

    step_type: Any
    observation: Any
    action: Any
    policy_info: Any
    next_step_type: Any
    reward: Any
    discount: Any

    @classmethod
    def from_transition(cls, time_step: TimeStep, policy_step: PolicyStep, next_time_step: TimeStep) -> Trajectory:
        """The record of the step from `time_step` to `next_time_step`."""
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
    """The spec of time steps with these observations: a nest of specs without the batch dimension."""
    scalar = tf.TensorSpec([], tf.float32)
    return TimeStep(tf.TensorSpec([], tf.int32), scalar, scalar, observation_spec)


def _tuples(values: Any) -> Any:
    return tuple(_tuples(value) for value in values) if isinstance(values, list) else values


def _fits(values: np.ndarray, dtype: tf.DType) -> bool:
    whole = bool(np.all(np.isfinite(values) & (np.floor(values) == values)))
    return whole and bool(np.all((values >= dtype.min) & (values <= dtype.max)))
