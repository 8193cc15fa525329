"""`Environment`: not an instance, but how to open as many as are needed."""

from __future__ import annotations

import abc

from gymnasium.vector import VectorEnv


class Environment(abc.ABC):
    """Training, evaluation and inference each open instances of their own, so that none disturbs another.

    Attributes:
        num_envs: how many run in parallel while training.
    """

    num_envs: int

    @abc.abstractmethod
    def open(self, num_envs: int | None = None) -> VectorEnv:
        """Opens `num_envs` new instances (by default `self.num_envs`) that reset in the same step (SAME_STEP)."""
