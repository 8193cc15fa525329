"""Fills an Atari replay memory by training, and prints by how many GB (10^9 bytes) the process grew at the most.

The environments show noise of the size of Atari's frames, so that no page of memory can be shared or left out. Once the memory
is full, the agent learns from it for a while. Counted is from the process's resident memory before the agent is made, with
everything imported, to the peak; so networks, optimizer and batches are in it.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
import tempfile
from typing import Any

FRAMES = 1_000_000


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames that the memory keeps (default: %(default)s)")
    parser.add_argument("--jit", default="auto", choices=["auto", "on", "off"], help="as in RunConfig (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    command_line()  # --help is answered before TensorFlow is imported.

import gymnasium
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
import numpy as np
from polyrl.envs.frame_stack import FrameStack
from polyrl.estimators import RunConfig
from polyrl.estimators.hooks import Hook
from polyrl.experiments import atari
from polyrl.replay import UniformReplay
import polyrl_worker
import settings
from stopwatch import report_and_exit
import tensorflow as tf

NUM_ENVS = 16
UPDATES = 200
EPISODE = 1_000


class Noise(VectorEnv):
    """Frames of noise; all environments end an episode together."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, num_envs: int):
        self.num_envs = num_envs
        self.single_observation_space: gymnasium.Space = Box(0, 255, (84, 84), np.uint8)
        self.single_action_space: gymnasium.Space = Discrete(6)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rng = np.random.default_rng(0)
        self._screens = self._rng.integers(256, size=[1_024, 84, 84], dtype=np.uint8)
        self._steps = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        return self._frames(), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        self._steps += 1
        ended = np.full(self.num_envs, self._steps % EPISODE == 0)
        info: dict[str, Any] = {}
        if ended[0]:
            finals = np.empty(self.num_envs, dtype=object)
            finals[:] = list(self._frames())
            info = {"final_obs": finals, "_final_obs": ended}
        return self._frames(), np.ones(self.num_envs), ended, np.zeros_like(ended), info

    def _frames(self) -> np.ndarray:
        return self._screens[self._rng.integers(len(self._screens), size=self.num_envs)]


class Peak(Hook):
    """Ends the process when it has learned from a full memory: a checkpoint would write all of it to the disk."""

    def __init__(self, frames: int, before: float):
        self._frames, self._before = frames, before
        self._loaded = 0.0

    def after_act(self, run: Any) -> None:
        if not self._loaded and run.timestep >= self._frames:
            self._loaded = resident("VmHWM")
        if run.step >= UPDATES:
            peak = resident("VmHWM")
            more = {"before_gb": self._before, "filled_gb": self._loaded - self._before, "stored": run.stored}
            report_and_exit(*polyrl_worker.PACKAGES, value=peak - self._before, **more)


def check_frames(arguments: argparse.Namespace) -> None:
    """Refuses to fill a memory that stores a frame more than once: with all frames stacked twice a million take 56 GB."""
    memory = UniformReplay(1_024, NUM_ENVS, frame_stack=settings.FRAME_STACK)
    scalar, state = tf.TensorSpec([]), tf.TensorSpec([84, 84, settings.FRAME_STACK], tf.uint8)
    action = tf.TensorSpec([], tf.int32)
    memory.build({"state": state, "action": action, "reward": scalar, "done": scalar, "next_state": state}, NUM_ENVS)
    stored = sum(variable.shape.num_elements() * variable.dtype.size for variable in memory.variables) / memory.size
    if stored > 2 * 84 * 84 and arguments.frames > 100_000:
        raise SystemExit(f"The memory takes {stored:,.0f} bytes for each frame of 7,056: {arguments.frames:,} are too many.")


def resident(name: str) -> float:
    """GB of this process: `'VmRSS'` as it is, `'VmHWM'` at the peak. Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1_024 / 1e9


def main() -> None:
    """Fills, learns, measures and prints the result."""
    arguments = command_line()
    atari.use_system_allocator()  # As the Atari scripts do.
    check_frames(arguments)
    setting = dataclasses.replace(
        settings.SETTINGS["pong"], memory_size=arguments.frames, first_update=arguments.frames, update_frequency=NUM_ENVS
    )
    config = RunConfig(jit=arguments.jit, progress=False, save_summary_timesteps=None, save_checkpoints_timesteps=None)
    env = FrameStack(Noise(NUM_ENVS), settings.FRAME_STACK)
    hook = Peak(arguments.frames, resident("VmRSS"))
    with tempfile.TemporaryDirectory() as model_dir:
        agent = polyrl_worker.agent(setting, model_dir, config)
        agent.train(env, first_update=setting.first_update, update_frequency=setting.update_frequency, hooks=[hook])


if __name__ == "__main__":
    main()
