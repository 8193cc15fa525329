"""Trains SB3's DQN until an evaluation reaches the task's target: `python sb3_result.py CartPole-v1 --settings=zoo`.

Prints the seconds since the process was started, evaluations included; infinity if the budget ends before.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
import math
from pathlib import Path
import sys
from typing import Any

# The modules beside run.py, which starts this with their directory in PYTHONPATH.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import results
from stopwatch import report_and_exit, seconds_since_start

# rl-baselines3-zoo, hyperparams/dqn.yml.
ZOO: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "learning_rate": 2.3e-3,
        "batch_size": 64,
        "buffer_size": 100_000,
        "learning_starts": 1_000,
        "gamma": 0.99,
        "target_update_interval": 10,
        "train_freq": 256,
        "gradient_steps": 128,
        "exploration_fraction": 0.16,
        "exploration_final_eps": 0.04,
        "policy_kwargs": {"net_arch": [256, 256]},
    },
    "Acrobot-v1": {
        "learning_rate": 6.3e-4,
        "batch_size": 128,
        "buffer_size": 50_000,
        "learning_starts": 0,
        "gamma": 0.99,
        "target_update_interval": 250,
        "train_freq": 4,
        "gradient_steps": -1,
        "exploration_fraction": 0.12,
        "exploration_final_eps": 0.1,
        "policy_kwargs": {"net_arch": [256, 256]},
    },
}
# CleanRL, dqn.py: its defaults, which are made for as many steps as its budget.
CLEANRL: dict[str, Any] = {
    "learning_rate": 2.5e-4,
    "batch_size": 128,
    "buffer_size": 10_000,
    "learning_starts": 10_000,
    "gamma": 0.99,
    "target_update_interval": 500,
    "train_freq": 10,
    "gradient_steps": 1,
    "exploration_fraction": 0.5,
    "exploration_final_eps": 0.05,
    "policy_kwargs": {"net_arch": [120, 84]},
}
CLEANRL_BUDGET = 500_000


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = results.parser(__doc__)
    parser.add_argument("--settings", choices=("zoo", "cleanrl"), default="zoo", help="whose settings (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Measures once and prints the result."""
    arguments = command_line()
    task = results.TASKS[arguments.env]
    # --help is answered where stable-baselines3 is not installed, too.
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    packages = ("stable-baselines3", "torch", "gymnasium", "numpy")
    evaluated = make_vec_env(arguments.env, seed=1_000 + arguments.seed)

    class Reached(BaseCallback):
        """Evaluates, and reports when the mean return is at the target."""

        def _on_step(self) -> bool:
            if self.num_timesteps % results.EVERY == 0:
                mean, _ = evaluate_policy(self.model, evaluated, results.EPISODES, deterministic=True)
                if mean >= task.target:
                    report_and_exit(*packages, value=seconds_since_start(), steps=self.num_timesteps)
            return True

    is_zoo = arguments.settings == "zoo"
    budget = task.budget if is_zoo else CLEANRL_BUDGET
    chosen = ZOO[arguments.env] if is_zoo else CLEANRL
    model = DQN("MlpPolicy", make_vec_env(arguments.env, seed=arguments.seed), seed=arguments.seed, device="cpu", **chosen)
    model.learn(budget, callback=Reached(), log_interval=10**9)
    report_and_exit(*packages, value=math.inf, steps=budget)


if __name__ == "__main__":
    main()
