"""Trains DQN with stable-baselines3, or sbx, and prints environment steps per second: `python sb3_worker.py cartpole_dqn`."""

# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

import argparse
from pathlib import Path
import sys
from typing import Any

# The modules beside run.py, which starts this with their directory in PYTHONPATH.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import settings


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = settings.parser(__doc__)
    parser.add_argument("--sbx", action="store_true", help="sbx, which is JAX, in place of stable-baselines3")
    return parser.parse_args()


if __name__ == "__main__":
    command_line()  # --help is answered where stable-baselines3 is not installed, too.

from settings import Setting
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnvWrapper, VecFrameStack
from stopwatch import Stopwatch, report_and_exit, seconds_since_start
import torch


class Counting(VecEnvWrapper):
    """Counts the steps of the environments below it."""

    def __init__(self, env: Any, stopwatch: Stopwatch):
        super().__init__(env)
        self._stopwatch = stopwatch

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        self._stopwatch.count(self.num_envs)
        return self.venv.step_wait()


def environment(setting: Setting) -> Any:
    """The environment of the setting."""
    if setting.atari:
        import ale_py
        import gymnasium

        gymnasium.register_envs(ale_py)
        env = make_atari_env(f"{setting.env}NoFrameskip-v4", n_envs=setting.num_envs, seed=0)
        return VecFrameStack(env, n_stack=settings.FRAME_STACK)
    if setting.boards:
        from minatar.gym import register_envs

        register_envs()
    return make_vec_env(setting.env, n_envs=setting.num_envs, seed=0)


class Board(BaseFeaturesExtractor):
    """The convolution for MinAtar, as SB3 lets its users have their own."""

    def __init__(self, space: Any):
        height, width, channels = space.shape
        side = settings.KERNEL_SIZE
        super().__init__(space, settings.FILTERS * (height - side + 1) * (width - side + 1))
        self._convolution = torch.nn.Conv2d(channels, settings.FILTERS, side)

    def forward(self, boards: torch.Tensor) -> torch.Tensor:
        return torch.flatten(torch.relu(self._convolution(boards.float().permute(0, 3, 1, 2))), 1)


def policy_arguments(setting: Setting) -> dict[str, Any] | None:
    """Layers that are not SB3's own."""
    if setting.atari:
        return None
    if setting.boards:
        return {"net_arch": list(setting.hidden), "features_extractor_class": Board}
    return {"net_arch": list(setting.hidden)}


def main() -> None:
    """Measures once and prints the result."""
    arguments = command_line()
    setting = settings.chosen(arguments)
    if arguments.sbx:
        from sbx import DQN

        packages = ["sbx-rl", "jax", "stable-baselines3", "gymnasium", "numpy"]
    else:
        from stable_baselines3 import DQN

        packages = ["stable-baselines3", "torch", "gymnasium", "numpy"]

    def done(measured: dict[str, float]) -> None:
        report_and_exit(*packages, **measured)

    stopwatch = Stopwatch(setting.warm_up, setting.seconds, done)
    # Training is due once per step of the vector: so many of its steps, and so many updates, are a round.
    steps = max(setting.update_frequency // setting.num_envs, 1)
    model = DQN(
        "CnnPolicy" if setting.atari else "MlpPolicy",
        Counting(environment(setting), stopwatch),
        learning_rate=settings.LEARNING_RATE,
        buffer_size=setting.memory_size,
        learning_starts=setting.first_update,
        batch_size=setting.batch_size,
        gamma=settings.DISCOUNT,
        train_freq=steps,
        gradient_steps=steps * setting.num_envs // setting.update_frequency,
        target_update_interval=setting.target_update_frequency * setting.update_frequency,  # In environment steps.
        exploration_initial_eps=settings.EPSILON,
        exploration_final_eps=settings.EPSILON,
        policy_kwargs=policy_arguments(setting),
        seed=0,
        device="cpu",
    )
    if arguments.startup:
        train = model.train

        def train_once(*args: Any, **kwargs: Any) -> None:
            train(*args, **kwargs)
            done({"value": seconds_since_start()})

        model.train = train_once
    model.learn(10**9, log_interval=10**9)


if __name__ == "__main__":
    main()
