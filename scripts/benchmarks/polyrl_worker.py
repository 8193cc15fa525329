"""Trains with polyrl and prints environment steps per second: `python polyrl_worker.py cartpole_dqn`."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import settings


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = settings.parser(__doc__)
    parser.add_argument(
        "--housekeeping", action="store_true", help="with summaries and checkpoints, as often as RunConfig has them"
    )
    parser.add_argument("--profile", action="store_true", help="print where time goes; it takes longer then")
    return parser.parse_args()


if __name__ == "__main__":
    command_line()  # --help is answered before TensorFlow is imported.

from polyrl.configs import AdamConfig, ConstantExplorationConfig
from polyrl.envs import AtariEnvironment, GymEnvironment
from polyrl.envs.compiled import CartPole
from polyrl.estimators import Agent, EstimatorSpec, RunConfig
from polyrl.estimators.hooks import Hook
from polyrl.models import CategoricalDQNModel, DQNModel
from polyrl.networks import mlp, nature_cnn
from polyrl.replay import UniformReplay
from settings import Setting
from stopwatch import Stopwatch, report, seconds_since_start

BUDGET = 5_000_000
"""Environment steps: more than are measured; the cadence of summaries goes by it."""

PACKAGES = ("polyrl", "tensorflow", "tf_keras", "gymnasium", "numpy")


class Timing(Hook):
    """Ticks the stopwatch after each iteration, and a profile if there is one; counts what is written meanwhile."""

    def __init__(self, setting: Setting, profile: Any = None):
        self._profile = profile
        self._stopwatch = Stopwatch(setting.warm_up, setting.seconds, self._done)
        self.measured: dict[str, float] = {}
        self.written = {"summaries": 0, "checkpoints": 0}

    def after_act(self, run: Any) -> None:
        self._stopwatch.tick(run.timestep)
        if self.measured:
            run.request_stop("measured")
        elif self._profile is not None and self._stopwatch.running:
            self._profile.tick()

    def after_summaries(self, run: Any, summaries: Any) -> None:
        self.written["summaries"] += self._stopwatch.running

    def after_checkpoint(self, run: Any, path: Any) -> None:
        self.written["checkpoints"] += self._stopwatch.running

    def _done(self, measured: dict[str, float]) -> None:
        self.measured = measured
        if self._profile is not None:
            self._profile.stop()


class FirstUpdate(Hook):
    """Notes when the first update has been done, and stops."""

    value = 0.0

    def after_update(self, run: Any) -> None:
        self.value = self.value or seconds_since_start()
        run.request_stop("measured")


def environment(setting: Setting) -> Any:
    """The environment of the setting."""
    if setting.atari:
        # As stable-baselines3's wrappers have it.
        return AtariEnvironment(
            setting.env, setting.num_envs, sticky_actions=0.0, terminal_on_life_loss=True, clip_rewards=True
        )
    return CartPole(setting.num_envs) if setting.compiled else GymEnvironment(setting.env, setting.num_envs)


def agent(setting: Setting, model_dir: str, config: RunConfig) -> Agent:
    """The agent of the setting."""
    model_class: Any = CategoricalDQNModel if setting.algorithm == "c51" else DQNModel
    more: dict[str, Any] = {}
    if setting.algorithm == "c51":
        more = {"num_atoms": settings.ATOMS, "min_q_value": settings.MIN_Q, "max_q_value": settings.MAX_Q}

    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        model = model_class(
            mode,
            nature_cnn(precision=setting.precision) if setting.atari else mlp(setting.hidden),
            num_states=(84, 84, settings.FRAME_STACK) if setting.atari else 4,
            num_actions=6 if setting.atari else 2,
            optimizer_config=AdamConfig(learning_rate=settings.LEARNING_RATE),
            discount=settings.DISCOUNT,
            exploration_config=ConstantExplorationConfig(settings.EPSILON),
            target_update_frequency=setting.target_update_frequency,
            dueling=None,
            clip_gradients=settings.CLIP_GRADIENTS,
            clip_embed_gradients=None,
            **more,
        )
        return model(features, labels)

    stack = settings.FRAME_STACK if setting.atari else None
    memory = UniformReplay(setting.memory_size, setting.batch_size, frame_stack=stack)
    return Agent(model_fn, memory, model_dir, config)


def train(setting: Setting, config: RunConfig, hook: Hook) -> None:
    """Trains until the hook stops it."""
    with tempfile.TemporaryDirectory() as model_dir:
        agent(setting, model_dir, config).train(
            environment(setting),
            timesteps=BUDGET,
            first_update=setting.first_update,
            update_frequency=setting.update_frequency,
            hooks=[hook],
        )


def main() -> None:
    """Measures once and prints the result."""
    arguments = command_line()
    setting = settings.chosen(arguments)
    config = RunConfig(progress=False)
    if not arguments.housekeeping:
        config = config.replace(save_summary_timesteps=None, save_checkpoints_timesteps=None)
    if arguments.startup:
        first = FirstUpdate()
        train(setting, config, first)
        report(*PACKAGES, value=first.value)
        return
    timing = Timing(setting)
    if arguments.profile:
        from profiling import Profile

        timing = Timing(setting, Profile())
    train(setting, config, timing)
    report(*PACKAGES, **timing.measured, **timing.written)


if __name__ == "__main__":
    main()
