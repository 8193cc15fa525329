"""Classic control is learned, with each of three seeds: in environments in the graph, evaluated in gymnasium's.

The settings were chosen on other seeds, 6 to 9; all seven come to the bounds of CartPole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from polyrl import Agent, CategoricalDQNModel, DDQNModel, NAFModel, RunConfig, UniformReplay
from polyrl.configs import (
    AdamConfig,
    DecayExplorationConfig,
    MeanSquaredErrorConfig,
    PolynomialDecayConfig,
    RandomDecayExplorationConfig,
    TorchInitializerConfig,
)
from polyrl.envs.compiled import compiled_environment
from polyrl.estimators.hooks import EvaluationHook
from polyrl.networks import mlp


def c51(mode: str) -> Any:
    # As the preset cartpole_c51. With a constant learning rate and tf-keras's initial weights one seed in three came to 397,
    # on one of two kinds of processor.
    initializer = TorchInitializerConfig()
    return CategoricalDQNModel(
        mode,
        mlp([64, 64], initializer=initializer),
        num_states=4,
        num_actions=2,
        min_q_value=0.0,
        max_q_value=100.0,
        target_update_frequency=200,
        optimizer_config=AdamConfig(PolynomialDecayConfig(1e-3, decay_steps=49_000, end_learning_rate=1e-5)),
        exploration_config=DecayExplorationConfig(decay_steps=5_000, min_exploration_rate=0.04),
        clip_gradients=10.0,
        head_initializer=initializer,
    )


def double_dqn(mode: str) -> Any:
    return DDQNModel(
        mode,
        mlp([256, 256]),
        num_states=6,
        num_actions=3,
        target_update_frequency=250,
        optimizer_config=AdamConfig(6.3e-4),
        exploration_config=DecayExplorationConfig(decay_steps=12_000, min_exploration_rate=0.1),
        clip_gradients=10.0,
    )


def naf(mode: str) -> Any:
    return NAFModel(
        mode,
        mlp([64, 64]),
        num_states=3,
        num_actions=1,
        action_low=-2.0,
        action_high=2.0,
        discount=0.97,
        target_update_frequency=1,
        target_update_tau=0.01,
        loss_config=MeanSquaredErrorConfig(),
        clip_gradients=None,
        exploration_config=RandomDecayExplorationConfig(1.0, min_exploration_rate=0.1, decay_steps=10_000),
    )


class Task(NamedTuple):
    """`bound`: what 100 episodes must give on average; `stop`: what ends the training, in 20 episodes."""

    model: Callable[[str], Any]
    num_envs: int
    batch_size: int
    n_step: int
    timesteps: int
    bound: float
    stop: float


TASKS = {
    "CartPole-v1": Task(c51, 8, 64, 3, 50_000, 475.0, 500.0),
    "Acrobot-v1": Task(double_dqn, 1, 128, 3, 100_000, -100.0, -78.0),
    "Pendulum-v1": Task(naf, 1, 128, 1, 50_000, -200.0, -150.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("env_id", TASKS)
def test_classic_control_is_learned(tmp_path, env_id, seed):
    """The best checkpoint, by evaluations of 20 episodes, holds in 100 others."""
    task = TASKS[env_id]

    def model_fn(features, labels, mode):
        return task.model(mode)(features, labels)

    memory = UniformReplay(task.timesteps, task.batch_size, n_step=task.n_step)
    agent = Agent(model_fn, memory, tmp_path, RunConfig(seed=seed, progress=False, save_summary_timesteps=None))
    evaluation = EvaluationHook(env_id, every_timesteps=5_000, episodes=20, stop_at_reward=task.stop)
    agent.train(compiled_environment(env_id, task.num_envs), first_update=1_000, timesteps=task.timesteps, hooks=[evaluation])
    assert agent.evaluate(env_id, 100, checkpoint="best")["mean_reward"] >= task.bound
