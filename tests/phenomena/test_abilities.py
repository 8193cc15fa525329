"""What the other diagnostics ask for is learned: to explore, and to find what mattered among chance."""

from __future__ import annotations

import numpy as np
import pytest
from family_agents import agent

from polyrl.envs.compiled import DeepSea, UmbrellaChain

SEEDS = [1, 2, 3]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["dqn", "c51"])
def test_the_treasure_of_a_shallow_sea_is_found(tmp_path, name, seed):
    """By chance in one of 16 episodes."""
    learner, schedule = agent(tmp_path, name, (4, 4), 2, seed)
    learner.train(DeepSea(num_envs=8, size=4), **schedule, timesteps=8_000)
    assert learner.evaluate(DeepSea(num_envs=8, size=4), 20)["min_reward"] == pytest.approx(0.99)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["dqn", "qr_dqn"])
def test_an_umbrella_is_taken_if_it_will_be_needed(tmp_path, name, seed):
    def env():
        return UmbrellaChain(num_envs=8, length=5, weight=4)

    learner, schedule = agent(tmp_path, name, 3 + env().distractors, 2, seed)
    learner.train(env(), **schedule, timesteps=16_000)
    # By the last step alone: the others pay by chance.
    for needed in (-1.0, 1.0):
        states = np.zeros([50, 3 + env().distractors], np.float32)
        states[:, 0], states[:, 2] = needed, 1.0
        states[:, 3:] = np.random.default_rng(seed).choice([-1.0, 1.0], size=states[:, 3:].shape)
        chosen = learner.predictor().predictions(states)["q"].argmax(axis=1)
        assert (chosen == (needed > 0)).mean() > 0.9
