"""`Environment`: opens as many instances of an environment as are needed."""

from __future__ import annotations

import abc

from gymnasium.vector import VectorEnv


class Environment(abc.ABC):
    """Stands for an environment, of which training, evaluation and prediction each open instances of their own.

    Attributes:
        num_envs: how many run in parallel while training.
    """

    num_envs: int

    @abc.abstractmethod
    def open(self, num_envs: int | None = None) -> VectorEnv:
        """Opens `num_envs` new instances (by default `self.num_envs`), with `AutoresetMode.SAME_STEP`."""
