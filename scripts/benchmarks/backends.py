"""Whether in-graph and gymnasium's environments are learned alike: returns of DQN on both, over seeds.

    python scripts/benchmarks/backends.py [--seeds 10] [--timesteps 15000]

For each seed and backend: the mean reward of all episodes of training, of those in the last third of its steps, and of 50
greedy episodes afterwards, played in gymnasium's CartPole by both. Then the means over the seeds with their standard errors,
and the p-value of a permutation test that the backends do not differ.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds, from 1 on (default: %(default)s)")
    parser.add_argument("--timesteps", type=int, default=15_000, help="environment steps of a run (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    command_line()  # --help is answered before TensorFlow is imported.

import numpy as np
from polyrl.configs import AdamConfig, DecayExplorationConfig
from polyrl.envs import GymEnvironment
from polyrl.envs.compiled import CartPole
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.hooks import Hook
from polyrl.models import DQNModel
from polyrl.networks import mlp
from polyrl.replay import UniformReplay

FIGURES = ("all of training", "last third", "greedy afterwards")


class Rewards(Hook):
    """Notes each episode's end, in environment steps, and reward."""

    def __init__(self) -> None:
        self.episodes: list[tuple[int, float]] = []

    def after_episode(self, run: Any, episode: Any) -> None:
        self.episodes.append((run.timestep, episode.reward))


def model_fn(features: Any, labels: Any, mode: str) -> Any:
    """DQN as experiments/cartpole_dqn.py has it, exploring for a third of the steps."""
    model = DQNModel(
        mode,
        mlp([64, 64]),
        num_states=4,
        num_actions=2,
        optimizer_config=AdamConfig(1e-3),
        exploration_config=DecayExplorationConfig(decay_steps=5_000),
        discount=0.98,
        target_update_frequency=250,
        summaries=[],
        clip_gradients=10.0,
    )
    return model(features, labels)


def measure(backend: str, seed: int, timesteps: int) -> list[float]:
    """The three figures of one run."""
    env = CartPole(8) if backend == "compiled" else GymEnvironment("CartPole-v1", 8)
    with tempfile.TemporaryDirectory() as directory:
        config = RunConfig(seed=seed, progress=False, save_summary_timesteps=None, save_checkpoints_timesteps=None, jit="on")
        agent = Agent(model_fn, UniformReplay(50_000, 128), directory, config)
        rewards = Rewards()
        agent.train(env, max_timesteps=timesteps, hooks=[rewards])
        late = [reward for timestep, reward in rewards.episodes if timestep > timesteps * 2 / 3]
        greedy = agent.evaluate("CartPole-v1", 50)["mean_reward"]
    return [float(np.mean([reward for _, reward in rewards.episodes])), float(np.mean(late)), greedy]


def p_value(first: np.ndarray, second: np.ndarray, permutations: int = 100_000) -> float:
    """How often samples drawn from both together differ as much in their means: a permutation test."""
    rng = np.random.default_rng(0)
    both = np.tile(np.concatenate([first, second]), (permutations, 1))
    shuffled = rng.permuted(both, axis=1)
    differences = shuffled[:, : len(first)].mean(axis=1) - shuffled[:, len(first) :].mean(axis=1)
    return float(np.mean(np.abs(differences) >= abs(first.mean() - second.mean()) - 1e-9))


def main() -> None:
    """Measures, and prints a row for each run and the comparison."""
    arguments = command_line()
    results: dict[str, list[list[float]]] = {"gymnasium": [], "compiled": []}
    for seed in range(1, arguments.seeds + 1):
        for backend, rows in results.items():
            rows.append(measure(backend, seed, arguments.timesteps))
            print(f"seed {seed} {backend}: " + ", ".join(f"{value:.1f}" for value in rows[-1]), flush=True)
    for index, figure in enumerate(FIGURES):
        columns = {backend: np.array(rows)[:, index] for backend, rows in results.items()}
        means = [f"{name} {c.mean():.1f} +- {c.std(ddof=1) / len(c) ** 0.5:.1f}" for name, c in columns.items()]
        print(f"{figure}: {', '.join(means)}; p = {p_value(columns['gymnasium'], columns['compiled']):.2f}")


if __name__ == "__main__":
    main()
