"""Every model learns what there is to learn in environments whose optimum is known."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_agents import KINDS, make_agent, q_model_fn
from tiny_envs import ChainEnv

from polyrl.configs import AdamConfig, ConstantExplorationConfig, MeanSquaredErrorConfig
from polyrl.envs import GymEnvironment

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
NUM_ENVS = 8


def kinds(slow: tuple[str, ...]):
    """Runs a test with each kind of model, with those of `slow` as a slow test."""
    return pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.slow) if k in slow else k for k in KINDS])


def learner(model_dir, kind: str, num_states: int, num_actions: int, seed: int, **arguments):
    """An agent that learns fast."""
    settings = {
        "units": 16,
        "optimizer_config": AdamConfig(learning_rate=0.01),
        "exploration_config": ConstantExplorationConfig(0.5),
        "target_update_frequency": 10,
        "clip_gradients": 10.0,
        "discount": 0.9,
    }
    model_fn = q_model_fn(kind, num_states=num_states, num_actions=num_actions, **{**settings, **arguments})
    return make_agent(model_fn, model_dir=model_dir, batch_size=32, size=4_000, seed=seed)


def learn(agent, env: GymEnvironment, updates: int):
    """One update for each step of the eight environments."""
    agent.train(env, first_update=64, update_frequency=NUM_ENVS, steps=updates)


@pytest.mark.parametrize("seed", SEEDS)
@kinds(slow=("dqn", "c51", "c51_double"))
def test_the_bandit_is_solved(tmp_path, kind, seed):
    agent = learner(tmp_path, kind, 3, 3, seed)
    learn(agent, GymEnvironment("polyrl/TinyBandit-v0", NUM_ENVS), 100)
    assert agent.evaluate("polyrl/TinyBandit-v0", 60)["mean_reward"] == 1.0


@pytest.mark.parametrize("seed", SEEDS)
@kinds(slow=("ddqn", "c51_double"))
def test_the_chain_is_solved(tmp_path, kind, seed):
    """The small reward at hand is passed over for the larger one three steps away."""
    agent = learner(tmp_path, kind, 4, 2, seed)
    learn(agent, GymEnvironment("polyrl/TinyChain-v0", NUM_ENVS), 300)
    result = agent.evaluate("polyrl/TinyChain-v0", 20)
    assert (result["min_reward"], result["mean_ep_length"]) == (ChainEnv.OPTIMUM, ChainEnv.LENGTH)


@pytest.mark.parametrize("kind", ["dqn", pytest.param("c51_double", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("env", "value", "tolerance"),
    [
        # q = 1 + gamma q: after the limit of five steps there would have been more.
        (GymEnvironment("polyrl/TinyLimited-v0", NUM_ENVS), 1 / (1 - 0.8), 0.05),
        # q = 1 + gamma (1 - 1 / 5) q: every fifth step is the last one, the observation does not tell which.
        (GymEnvironment("polyrl/TinyConstant-v0", NUM_ENVS, length=5), 1 / (1 - 0.8 * 0.8), 0.3),
    ],
    ids=["truncated", "terminated"],
)
def test_values_reach_beyond_a_truncation_but_not_beyond_a_termination(tmp_path, kind, env, value, tolerance):
    """A14: the return of an episode that a time limit cut off was taken for all there was to get."""
    # Huber's loss would lean towards the median of the two targets; a squared error and C51 give the mean.
    atoms = {"max_q_value": 10.0, "num_atoms": 21}
    arguments = atoms if kind.startswith("c51") else {"loss_config": MeanSquaredErrorConfig()}
    agent = learner(tmp_path, kind, 1, 2, 0, discount=0.8, **arguments)
    learn(agent, env, 400)
    q = next(agent.predict(env))["q"]
    np.testing.assert_allclose(q, value, rtol=tolerance)
