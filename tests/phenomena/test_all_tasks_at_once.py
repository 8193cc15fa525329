"""Every model finds the best actions of a chain, of a bandit and beyond a time limit, and what each of them is worth."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from family_agents import FAMILY, agent
from gymnasium.spaces import Box, Discrete

from polyrl.envs import GymEnvironment

DISCOUNT = 0.95
LINKS, BANDIT, LIMITED, END = (0, 1, 2), 3, 4, 5
STATES = 6


class AllTasks(gymnasium.Env):
    """Each episode is one of three tasks, and begins at a random state of it; states are one-hot vectors.

    - The chain: action 1 moves on, with a reward of 0.9 at the end of its last link; action 0 ends the episode with 0.2.
    - The bandit: one step, 0.3 for action 0 and 0.5 for action 1.
    - The limit: 0.04 at each step, and truncation after five; without it the rewards would go on for ever.
    """

    observation_space = Box(0.0, 1.0, (STATES,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._state, self._t = int(self.np_random.integers(END)), 0
        return self._observation(), {}

    def step(self, action):
        self._t += 1
        if self._state == LIMITED:
            return self._observation(), 0.04, False, self._t == 5, {}
        if self._state == BANDIT:
            reward = 0.5 if action == 1 else 0.3
        elif action == 0:
            reward = 0.2
        elif self._state != LINKS[-1]:
            self._state += 1
            return self._observation(), 0.0, False, False, {}
        else:
            reward = 0.9
        self._state = END
        return self._observation(), reward, True, False, {}

    def _observation(self):
        return np.eye(STATES, dtype=np.float32)[self._state]


VALUES = np.array([0.9 * DISCOUNT**2, 0.9 * DISCOUNT, 0.9, 0.5, 0.04 / (1 - DISCOUNT)])
"""Of the states but the last one."""


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FAMILY)
def test_the_best_actions_and_their_values_are_learned(tmp_path, name, seed):
    # What goes on for ever is worth 0.98 of its value after 75 targets.
    learner, schedule = agent(tmp_path, name, STATES, 2, seed, target_update_frequency=20)
    learner.train(GymEnvironment(AllTasks, 8), **schedule, timesteps=12_000)
    q = learner.predictor().predictions(np.eye(STATES, dtype=np.float32))["q"][:END]
    assert list(np.argmax(q[:LIMITED], axis=1)) == [1, 1, 1, 1]
    if not name.startswith("munchausen"):  # Their values have the policy's logarithm in them.
        # Of two actions that are worth the same, the larger of two noisy values overestimates, again and again.
        tolerances = np.array([0.12, 0.12, 0.12, 0.12, 0.2 if name == "dqn_noisy" else 0.12])
        assert np.all(np.abs(q.max(axis=1) - VALUES) < tolerances)
