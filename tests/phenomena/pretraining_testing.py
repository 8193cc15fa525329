"""An environment that chance does not solve, and its demonstration, for the tests of pre-training."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from polyrl.configs import AdamConfig
from polyrl.demos import DemoEpisode, Demonstrations

LENGTH = 12


class CorridorEnv(gymnasium.Env):
    """Twelve steps the right way, a different action for each, give a reward of 1; any other action ends the episode.

    Chance finds the end in one of 3^12 episodes.
    """

    def __init__(self):
        self.observation_space = Box(0, 1, (LENGTH + 1,), np.float32)
        self.action_space = Discrete(3)

    @staticmethod
    def right(step: int) -> int:
        return (step * step) % 3

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        return self._observation(), {}

    def step(self, action):
        right = action == self.right(self._step)
        self._step += 1
        ended = self._step == LENGTH
        return self._observation(), float(right and ended), ended or not right, False, {}

    def _observation(self):
        return np.eye(LENGTH + 1, dtype=np.float32)[self._step]


gymnasium.register("polyrl/TinyCorridor-v0", CorridorEnv, order_enforce=False, disable_env_checker=True)


def demonstrations(reward: float = 1.0) -> Demonstrations:
    """The way through, once."""
    rewards = np.zeros(LENGTH, np.float32)
    rewards[-1] = reward
    actions = np.array([CorridorEnv.right(step) for step in range(LENGTH)])
    return Demonstrations([DemoEpisode(np.eye(LENGTH + 1, dtype=np.float32), actions, rewards, True, False)])


FAST = {"optimizer_config": AdamConfig(learning_rate=0.005), "clip_gradients": 10.0, "target_update_frequency": 10}
