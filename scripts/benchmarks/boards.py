"""What XLA gains with small convolutions: training in the graph on boards of some sizes, in a table for docs.

    python scripts/benchmarks/boards.py [--rounds 3] [--boards 10x10x4 19x19x4] [--core 0]

An iteration is a step of an environment that only moves its board, and an update of DQN with a batch of 32; the torso is
convolutions of 3 x 3 and a dense layer. With XLA and without take turns, each in a process of its own. A convolution that is
too large for XLA (`polyrl.engine.patches.LARGEST`) is compiled as one nevertheless.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any, NamedTuple

import measuring
from rows import POLYRL, Worker


class Board(NamedTuple):
    """Height, width and channels; the filters of the convolutions, and the units of the dense layer."""

    shape: tuple[int, int, int]
    filters: tuple[int, ...] = (16,)
    units: int = 128


BOARDS = {
    "x".join(map(str, board.shape)) + "".join(f"-{size}" for size in board.filters): board
    for board in (
        Board((10, 10, 4)),
        Board((10, 10, 4), (16, 32)),
        Board((7, 7, 20), (16,), 64),
        Board((7, 7, 3), (16, 32, 64), 64),
        Board((10, 10, 10)),
        Board((10, 10, 16)),
        Board((19, 19, 4), (32,), 64),
        Board((24, 24, 4), (16,), 64),
        Board((10, 10, 33)),
        Board((42, 42, 1), (16,), 64),
    )
}
STEPS = 6_000


def command_line() -> argparse.Namespace:
    """What is given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", nargs="+", choices=BOARDS, default=[*BOARDS], help="(default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured (default: %(default)s)")
    parser.add_argument("--core", type=int, default=0, help="the core of all processes; -1: any (default: %(default)s)")
    parser.add_argument("--worker", choices=("on", "off"), help="measure one board, with XLA or without")
    return parser.parse_args()


def train(board: Board, jit: str) -> dict[str, float]:
    """Environment steps a second in the second half of a short run."""
    import gymnasium
    import numpy as np
    from polyrl.engine import patches
    from polyrl.envs.compiled import CompiledEnvironment, StepOutput
    from polyrl.estimators import Agent, EstimatorSpec, RunConfig
    from polyrl.estimators.hooks import Hook
    from polyrl.models import DQNModel
    from polyrl.networks import cnn
    from polyrl.replay import UniformReplay
    import tensorflow as tf

    class Moving(CompiledEnvironment):
        """A board whose rows go round."""

        observation_space = gymnasium.spaces.Box(0.0, 1.0, board.shape, np.float32)
        action_space = gymnasium.spaces.Discrete(3)

        def reset(self, num_envs: int, seed: tf.Tensor) -> tf.Tensor:
            return tf.cast(tf.random.stateless_uniform([num_envs, *board.shape], seed) < 0.2, tf.float32)

        def step(self, state: tf.Tensor, action: tf.Tensor, seed: tf.Tensor) -> StepOutput:
            ones = tf.ones_like(state[:, 0, 0, 0])
            return StepOutput(tf.roll(state, 1, 1), ones, tf.zeros_like(ones, tf.bool))

        def observe(self, state: tf.Tensor) -> tf.Tensor:
            return state

    class Clock(Hook):
        def __init__(self) -> None:
            self.times: list[tuple[float, int]] = []

        def after_act(self, run: Any) -> None:
            self.times.append((time.perf_counter(), run.timestep))

    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        torso = cnn(board.filters, [board.units])
        return DQNModel(mode, torso, num_states=board.shape, num_actions=3, dueling=None)(features, labels)

    patches.LARGEST = sys.maxsize
    clock = Clock()
    config = RunConfig(threads=1, jit=jit, progress=False, save_summary_timesteps=None, save_checkpoints_timesteps=None)
    agent = Agent(model_fn, UniformReplay(50_000, 32), None, config)
    agent.train(Moving(1), first_update=1_000, timesteps=STEPS, hooks=[clock])
    (begin, before), (end, after) = clock.times[len(clock.times) // 2], clock.times[-1]
    return {"value": (after - before) / (end - begin)}


def main() -> None:
    """Measures all boards and prints a line for each as soon as it is known."""
    given = command_line()
    if given.worker is not None:
        from stopwatch import report

        report("polyrl", **train(BOARDS[given.boards[0]], given.worker))
        return
    measure = measuring.Processes({POLYRL: sys.executable}, given.core)
    print(
        "| board, filters | numbers in the first patches | steps/s with XLA | without | ratio |\n|---|---|---|---|---|",
        flush=True,
    )
    for name in given.boards:
        board = BOARDS[name]
        figures: dict[str, list[float]] = {"on": [], "off": []}
        for _ in range(given.rounds):
            for jit, values in figures.items():
                arguments = (f"--worker={jit}", f"--boards={name}")
                values.append(measure(Worker(name, POLYRL, "boards.py", arguments))["value"])
        on, off = (f"{statistics.median(values):,.0f} ({min(values):,.0f}..{max(values):,.0f})" for values in figures.values())
        ratio = statistics.median(figures["on"]) / statistics.median(figures["off"])
        height, width, channels = board.shape
        print(f"| `{name}` | {(height - 2) * (width - 2) * 9 * channels:,} | {on} | {off} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
