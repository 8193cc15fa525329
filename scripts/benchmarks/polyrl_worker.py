"""Trains with polyrl and prints environment steps per second: `python polyrl_worker.py cartpole_dqn`."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import tempfile
import time
from typing import Any

import settings


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = settings.parser(__doc__)
    parser.add_argument(
        "--housekeeping", action="store_true", help="with summaries and checkpoints, as often as RunConfig has them"
    )
    parser.add_argument("--overlap", action="store_true", help="environments step while the learner runs")
    parser.add_argument("--profile", action="store_true", help="print where time goes; it takes longer then")
    return parser.parse_args()


if __name__ == "__main__":
    command_line()  # --help is answered before TensorFlow is imported.

import gymnasium
import numpy as np
from polyrl.configs import AdamConfig, ConstantExplorationConfig
from polyrl.envs import AtariEnvironment, GymEnvironment
from polyrl.envs.compiled import CartPole, CompiledEnvironment, StepOutput
from polyrl.estimators import Agent, EstimatorSpec, RunConfig, threads
from polyrl.estimators.hooks import Hook
from polyrl.models import CategoricalDQNModel, DQNModel
from polyrl.networks import cnn, mlp, nature_cnn
from polyrl.replay import UniformReplay
from settings import Setting
from stopwatch import Stopwatch, report, seconds_since_start
import tensorflow as tf

BUDGET, BLANK_BUDGET = 5_000_000, 2_000_000_000
"""Environment steps: more than are measured, also of an environment without work; the cadence of summaries goes by it."""

BYTES = bytes(65_536)

PACKAGES = ("polyrl", "tensorflow", "tf_keras", "gymnasium", "numpy")


class Blank(gymnasium.Env):
    """Shows zeros and pays 1; what is left is the time of the loop, and of an episode's end after each `length` steps.

    Each step computes for `seconds`, and leaves Python to other threads meanwhile, as a simulator in C++ does.
    """

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)

    def __init__(self, length: int | None, actions: int, seconds: float):
        self.action_space = gymnasium.spaces.Discrete(actions)
        self._length, self._seconds, self._t, self._zeros = length, seconds, 0, np.zeros(4, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._t = 0
        return self._zeros.copy(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._t += 1
        end = time.perf_counter() + self._seconds
        while self._seconds and time.perf_counter() < end:
            hashlib.sha256(BYTES)  # It leaves Python to others for 64 kilobytes at a time.
        return self._zeros.copy(), 1.0, self._t == self._length, False, {}


class BlankTensors(CompiledEnvironment):
    """The same in the graph, endless."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)

    def __init__(self, num_envs: int, actions: int):
        super().__init__(num_envs)
        self.action_space = gymnasium.spaces.Discrete(actions)

    def reset(self, num_envs: int, seed: tf.Tensor) -> tf.Tensor:
        return tf.zeros([num_envs, 4])

    def step(self, state: tf.Tensor, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
        return StepOutput(state, tf.ones_like(state[:, 0]), tf.zeros_like(state[:, 0], tf.bool))

    def observe(self, state: tf.Tensor) -> tf.Tensor:
        return state


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
    if setting.env == "Blank":
        if setting.compiled:
            return BlankTensors(setting.num_envs, setting.actions)
        return GymEnvironment(lambda: Blank(setting.episode_length, setting.actions, setting.step_seconds), setting.num_envs)
    return CartPole(setting.num_envs) if setting.compiled else GymEnvironment(setting.env, setting.num_envs)


def network(setting: Setting) -> tuple[Any, Any, int]:
    """The torso of the setting, the shape of states, and the number of actions."""
    if setting.atari:
        return nature_cnn(precision=setting.precision), (84, 84, settings.FRAME_STACK), 6
    if setting.boards:
        return cnn([settings.FILTERS], setting.hidden, kernel_size=settings.KERNEL_SIZE), (10, 10, 4), 3
    return mlp(setting.hidden), 4, setting.actions


def agent(setting: Setting, model_dir: str, config: RunConfig) -> Agent:
    """The agent of the setting."""
    model_class: Any = CategoricalDQNModel if setting.algorithm == "c51" else DQNModel
    more: dict[str, Any] = {}
    if setting.algorithm == "c51":
        more = {"num_atoms": setting.atoms, "min_q_value": settings.MIN_Q, "max_q_value": settings.MAX_Q}

    torso, states, actions = network(setting)

    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        model = model_class(
            mode,
            torso,
            num_states=states,
            num_actions=actions,
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


def chosen_threads(setting: Setting) -> int | None:
    """As the command `polyrl` chooses them: one for small networks, unless the environment says otherwise."""
    sizes = [(10 - settings.KERNEL_SIZE + 1) ** 2 * settings.FILTERS] * setting.boards + [*setting.hidden]
    products = [first * second for first, second in itertools.pairwise(sizes)]
    small = not setting.atari and setting.batch_size * max(products, default=0) <= threads.SMALL
    return 1 if small and threads.VARIABLE not in os.environ else None


def train(setting: Setting, config: RunConfig, hook: Hook) -> None:
    """Trains until the hook stops it."""
    with tempfile.TemporaryDirectory() as model_dir:
        agent(setting, model_dir, config).train(
            environment(setting),
            timesteps=BLANK_BUDGET if setting.env == "Blank" else BUDGET,
            first_update=setting.first_update,
            update_frequency=setting.update_frequency,
            hooks=[hook],
        )


def main() -> None:
    """Measures once and prints the result."""
    arguments = command_line()
    setting = settings.chosen(arguments)
    config = RunConfig(progress=False, overlap=arguments.overlap, threads=chosen_threads(setting))
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
