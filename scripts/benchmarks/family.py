"""How fast each model of the family trains, relative to C51 of the same size: in a table for docs/costs.md.

    .venv/bin/python scripts/benchmarks/family.py [--models dqn,iqn] [--rounds 7] [--core 0]

CartPole in the graph, an update for each of its steps, two layers of 64 units, batches of 64. Each model has a process of its
own, all on one core. They wait for each other: in each round each trains for a second, C51 before and after each of the
others. A ratio is of neighbours. Figures are steps per second of the processor's time, so what else the machine does
counts little.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
from collections.abc import Iterator
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from measuring import ONE_THREAD

WARM_UP = 3_000  # environment steps
REFERENCE = "c51"
DEFAULT_FLAGS = {"num_samples": 32, "num_policy_samples": 32}
"""Those of `polyrl.experiments.family`; the class has 64 samples."""

RAINBOW = {"noisy": True, "prioritized": True, "n_step": 3}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "c51": ("CategoricalDQNModel", {"num_atoms": 51}),
    "dqn": ("DQNModel", {}),
    "noisy_dqn": ("DQNModel", {"noisy": True}),
    "expected_sarsa": ("ExpectedSarsaModel", {}),
    "munchausen_dqn": ("MunchausenDQNModel", {}),
    "qr_dqn": ("QRDQNModel", {"num_quantiles": 50}),
    "qr_dqn_200": ("QRDQNModel", {"num_quantiles": 200}),
    "rainbow": ("RainbowModel", {"num_atoms": 51, **RAINBOW}),
    "iqn_8": ("IQNModel", {**DEFAULT_FLAGS, "num_samples": 8}),
    "iqn_16": ("IQNModel", {**DEFAULT_FLAGS, "num_samples": 16}),
    "iqn": ("IQNModel", DEFAULT_FLAGS),
    "iqn_64": ("IQNModel", {**DEFAULT_FLAGS, "num_samples": 64}),
    "munchausen_iqn_8": ("MunchausenIQNModel", {**DEFAULT_FLAGS, "num_samples": 8}),
    "munchausen_iqn": ("MunchausenIQNModel", DEFAULT_FLAGS),
    "drqn": ("DQNModel", {"sequence_length": 8}),
    "r2d2": ("R2D2Model", {"sequence_length": 8, "prioritized": True, "n_step": 3, "burn_in": 2}),
}
"""By name the class, and what is not as the others have it. Those with noise have it in the torso, too; those with sequences
have an LSTM of 64 in place of the second layer, and as many transitions in a batch.
"""


def train(name: str, seconds: float) -> None:
    """Trains the model of that name for so many seconds, each time that a line arrives, and prints the steps per second."""
    from polyrl import models, networks
    from polyrl.configs import AdamConfig, ConstantExplorationConfig, GreedyExplorationConfig
    from polyrl.envs.compiled import CartPole
    from polyrl.estimators import Agent, RunConfig
    from polyrl.estimators.hooks import Hook
    from polyrl.replay import PrioritizedReplay, PrioritizedSequenceReplay, SequenceReplay, UniformReplay

    class Turns(Hook):
        """A turn, when it is this process's."""

        start: tuple[int, float] | None = None

        def after_act(self, run: Any) -> None:
            now = time.process_time()
            if self.start is not None and now - self.start[1] >= seconds:
                print("turn", (run.timestep - self.start[0]) / (now - self.start[1]), flush=True)
                self.start = None
            if self.start is None and run.timestep >= WARM_UP:
                if sys.stdin.readline():
                    self.start = run.timestep, time.process_time()
                else:
                    run.request_stop("measured")

    model_class, given = MODELS[name]
    own = dict(given)
    prioritized, how = own.pop("prioritized", False), {"n_step": own.pop("n_step", 1)}
    noisy, length = own.get("noisy", False), own.pop("sequence_length", 0)
    torso = networks.recurrent(networks.mlp([64]), 64) if length else networks.mlp([64, 64], noisy=noisy)

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        model = getattr(models, model_class)(
            mode,
            torso,
            num_states=4,
            num_actions=2,
            optimizer_config=AdamConfig(2.5e-4),
            discount=0.99,
            exploration_config=GreedyExplorationConfig() if noisy else ConstantExplorationConfig(0.05),
            target_update_frequency=500,
            clip_gradients=10.0,
            **own,
        )
        return model(features, labels)

    kind: Any = PrioritizedReplay if prioritized else UniformReplay
    if length:
        kind, how["sequence_length"] = PrioritizedSequenceReplay if prioritized else SequenceReplay, length
    memory = kind(50_000, 64, **how)
    with tempfile.TemporaryDirectory() as directory:
        config = RunConfig(progress=False, save_summary_timesteps=None, save_checkpoints_timesteps=None)
        Agent(model_fn, memory, directory, config).train(CartPole(1), first_update=1_000, hooks=[Turns()])


class Process:
    """Trains one model, when it is asked to."""

    def __init__(self, name: str, core: int, seconds: float):
        self._name = name
        pinned = ["taskset", "-c", str(core)] if core >= 0 and shutil.which("taskset") else []
        command = [*pinned, sys.executable, __file__, "--train", name, "--seconds", str(seconds)]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self._process = subprocess.Popen(command, env={**os.environ, **ONE_THREAD}, **pipes)
        self.turn()  # It is compiled before the next one starts.

    def turn(self) -> float:
        """Trains for a while; the steps per second."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("turn "):
                return float(line.split()[1])
        raise RuntimeError(f"the process of {self._name} failed.")

    def close(self) -> None:
        """Ends it."""
        self._process.communicate()


def measure(names: list[str], rounds: int, core: int, seconds: float) -> Iterator[tuple[str, list[float], list[float]]]:
    """Of each model its speeds, and those speeds as ratios to C51's before and after."""
    with contextlib.ExitStack() as stack:
        processes: dict[str, Process] = {}
        for name in (REFERENCE, *names):
            processes[name] = Process(name, core, seconds)
            stack.callback(processes[name].close)
        speeds: dict[str, list[float]] = {name: [] for name in processes}
        ratios: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                if not speeds[REFERENCE] or name == names[0]:
                    speeds[REFERENCE].append(processes[REFERENCE].turn())
                speeds[name].append(processes[name].turn())
                before = speeds[REFERENCE][-1]
                speeds[REFERENCE].append(processes[REFERENCE].turn())
                ratios[name].append(2 * speeds[name][-1] / (before + speeds[REFERENCE][-1]))
        yield REFERENCE, speeds[REFERENCE], [1.0]
        for name in names:
            yield name, speeds[name], ratios[name]


def _spread(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}}..{max(values):{form}})"


def main() -> None:
    """Measures, and prints a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="with commas between them (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each model (default: %(default)s)")
    parser.add_argument(
        "--core", type=int, default=0, help="the processor core of all processes; negative: any (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds of a turn (default: %(default)s)")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments.train, arguments.seconds)
        return
    names = [name for name in arguments.models.split(",") if name != REFERENCE]
    if unknown := set(names) - set(MODELS):
        parser.error(f"unknown models {sorted(unknown)}; there are {sorted(MODELS)}.")
    print("| model | steps/s: median (min..max) | of C51's |\n|---|---|---|")
    for name, speeds, ratios in measure(names, arguments.rounds, arguments.core, arguments.seconds):
        speed, ratio = (_spread(values, form) for values, form in ((speeds, ",.0f"), (ratios, ".2f")))
        print(f"| `{name}` | {speed} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
