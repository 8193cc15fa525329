"""`Sound`: an environment that keeps to gymnasium's interface, for subclasses that break it in one place each."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete


class Sound(gymnasium.Env):
    """Random vectors, a reward of 1, and no end. Each subclass keeps the instances that were made of it in `made`."""

    observation_space, action_space = Box(0.0, 1.0, [4]), Discrete(3)
    made: list[Sound]

    def __init_subclass__(cls) -> None:
        cls.made = []

    def __init__(self) -> None:
        self.made.append(self)
        self.closed = False

    def observation(self):
        return self.np_random.random(4, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation(), {}

    def step(self, action):
        return self.observation(), 1.0, False, False, {}

    def close(self):
        self.closed = True
