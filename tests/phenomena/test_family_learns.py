"""Every model of the family reaches the optimum of environments whose optimum is known; risk levels do what they say.

For what only the slow run has of this, the default run has test_all_tasks_at_once.py.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from family_agents import FAMILY, agent
from gymnasium.spaces import Box, Discrete
from tiny_envs import ChainEnv

from polyrl.envs import GymEnvironment
from polyrl.envs.compiled import Catch
from polyrl.policies import TimeStep

SLOW = pytest.mark.slow
QUICK = ("dqn", "c51")
SEEDS = [1, *(pytest.param(seed, marks=SLOW) for seed in (2, 3))]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=SLOW) for name in FAMILY])
def test_the_ball_is_caught(tmp_path, name, seed):
    """bsuite's catch on a smaller board, in the graph: a reward of 1 for each ball that is caught, -1 for others."""
    learner, schedule = agent(tmp_path, name, (5, 4), 3, seed)
    learner.train(Catch(num_envs=8, rows=5, columns=4), **schedule, timesteps=8_000)
    assert learner.evaluate(Catch(num_envs=8, rows=5, columns=4), 60)["min_reward"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", FAMILY)
def test_the_chain_is_gone_to_its_end(tmp_path, name, seed):
    learner, schedule = agent(tmp_path, name, 4, 2, seed)
    learner.train(GymEnvironment("polyrl/TinyChain-v0", 8), **schedule, timesteps=4_000)
    result = learner.evaluate("polyrl/TinyChain-v0", 20)
    assert (result["min_reward"], result["mean_ep_length"]) == (ChainEnv.OPTIMUM, ChainEnv.LENGTH)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qr_dqn", "pqn", "iqn", "expected_sarsa", "dqn_noisy"])
def test_the_value_of_an_environment_that_is_only_truncated_reaches_beyond_the_limit(tmp_path, name):
    """`1 / (1 - discount)`: a reward of 1 at each step, for ever."""
    learner, schedule = agent(tmp_path, name, 1, 2)
    learner.train(GymEnvironment("polyrl/TinyLimited-v0", 8), **schedule, timesteps=16_000)
    (prediction,) = [step for step in learner.predict("polyrl/TinyLimited-v0", steps=1)]
    assert prediction["q"].max() == pytest.approx(1 / (1 - 0.95), rel=0.15)


class RiskyBandit(gymnasium.Env):
    """Action 0 gives 0.3; action 1 gives 1 or -0.2, each as likely: a mean of 0.4, and a worse half of -0.2."""

    observation_space = Box(0.0, 1.0, (1,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        reward = 0.3 if action == 0 else (1.0 if self.np_random.random() < 0.5 else -0.2)
        return np.ones(1, np.float32), reward, True, False, {}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["c51", pytest.param("qr_dqn", marks=SLOW), pytest.param("iqn", marks=SLOW)])
def test_a_cautious_policy_passes_over_the_better_mean(tmp_path, name, seed):
    learner, schedule = agent(tmp_path, name, 1, 2, seed)
    learner.train(GymEnvironment(RiskyBandit, 8), **schedule, timesteps=8_000)
    state = np.ones([1, 1], np.float32)
    assert learner.predictor().act(state) == 1
    cautious, _ = agent(tmp_path, name, 1, 2, seed, risk_level=0.25)
    assert cautious.predictor().act(state) == 0
    values = cautious.predictor().policy.value_distribution(TimeStep.restart({"state": state}, batch_size=1))
    mean = np.sum(np.asarray(values.atoms) * np.asarray(values.probabilities), axis=-1)[0]
    np.testing.assert_allclose(mean, [0.3, 0.4], atol=0.1)
