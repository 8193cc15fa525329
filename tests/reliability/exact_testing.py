"""Runs that are not interrupted, runs that die and are resumed, and everything in which they could differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray
from tiny_agents import KINDS, counters, q_model_fn, weights
from tiny_envs import saved_cart_pole

from polyrl.configs import DecayExplorationConfig, OrnsteinUhlenbeckExplorationConfig
from polyrl.envs import AtariEnvironment, GymEnvironment
from polyrl.envs.compiled import CartPole, Pendulum
from polyrl.estimators import Agent, RunConfig
from polyrl.estimators.hooks import EvaluationHook, Hook
from polyrl.estimators.run_state import named
from polyrl.models import NAFModel
from polyrl.networks import mlp, nature_cnn
from polyrl.replay import PrioritizedReplay, UniformReplay

EXPLORATION = DecayExplorationConfig(decay_steps=150, min_exploration_rate=0.1)


FRAMES = ("gymnasium", "ale", "envpool")
"""The kinds of environments that are Atari games."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of run; `env` is `sync`, `async`, `compiled`, `whole`, `whole-async`, or an Atari backend."""

    model: str = "dqn"
    memory: str = "uniform"
    n_step: int = 1
    num_envs: int = 1
    env: str = "sync"
    jit: str = "off"
    overlap: bool = False

    def __str__(self) -> str:
        return "-".join(str(value) for value in dataclasses.astuple(self)).removesuffix("-False")


class Killed(Exception):
    """Ends a run as a crash does: nothing is saved after it."""


class Die(Hook):
    """Ends the run at a timestep."""

    def __init__(self, timestep: int):
        self._timestep = timestep

    def after_act(self, run):
        if run.timestep >= self._timestep:
            raise Killed


class Averages(Hook):
    """A hook with a state of its own."""

    def __init__(self):
        self.average = 0.0

    def after_act(self, run):
        self.average += 0.01 * (run.exploration_rate - self.average)

    def get_state(self):
        return {"average": self.average}

    def set_state(self, state):
        self.average = state["average"]


def environment(case: Case) -> Any:
    continuous = case.model == "naf"
    if case.env in FRAMES:
        return AtariEnvironment("Pong", case.num_envs, case.env, terminal_on_life_loss=True, clip_rewards=True)
    if case.env == "compiled":
        return (Pendulum if continuous else CartPole)(num_envs=case.num_envs)
    if case.env.startswith("whole"):
        return GymEnvironment(saved_cart_pole, case.num_envs, "async" if case.env == "whole-async" else "sync")
    return GymEnvironment("Pendulum-v1" if continuous else "CartPole-v1", case.num_envs, case.env)


def model_fn(case: Case) -> Any:
    if case.model == "naf":

        def naf(features, labels, mode):
            exploration = OrnsteinUhlenbeckExplorationConfig()
            bounds = {"action_low": -2.0, "action_high": 2.0}
            return NAFModel(mode, mlp([8]), 3, 1, **bounds, exploration_config=exploration, summaries=["loss"])(
                features, labels
            )

        return naf
    arguments = {
        "exploration_config": EXPLORATION,
        "target_update_frequency": 7,
        "summaries": ["loss", "reward", "exploration"],
    }
    if case.env in FRAMES:
        model_class, defaults = KINDS[case.model]

        def pixels(features, labels, mode):
            return model_class(mode, nature_cnn(), (84, 84, 4), 6, **{**defaults, **arguments})(features, labels)

        return pixels
    return q_model_fn(case.model, num_actions=2, **arguments)


def new_agent(case: Case, model_dir: Path, every: int = 40, **config: Any) -> Agent:
    """Its memory is smaller than the runs are long."""
    kind = PrioritizedReplay if case.memory == "prioritized" else UniformReplay
    stack = {"frame_stack": 4} if case.env in FRAMES else {}
    settings = {
        "save_checkpoints_timesteps": every,
        "max_overhead": None,
        "progress": False,
        "check_env": False,
        "jit": case.jit,
        "overlap": case.overlap,
        **config,
    }
    return Agent(model_fn(case), kind(100, 4, n_step=case.n_step, **stack), model_dir, RunConfig(**settings))


def train(
    case: Case,
    model_dir: Path,
    timesteps: int,
    dies_at: int | None = None,
    every: int = 40,
    further: Sequence[Hook] = (),
    **config: Any,
) -> dict[str, Any]:
    """A run to so many environment steps in all, or until it dies; everything that it holds then.

    `further` are hooks that are not looked at.

    Environments in the graph take 1,000 steps at a time: all numbers are 25 times as large for them.
    """
    factor = 25 if case.env == "compiled" else 1
    timesteps, every, dies_at = factor * timesteps, factor * every, None if dies_at is None else factor * dies_at
    agent, hooks = new_agent(case, model_dir, every, save_summary_timesteps=every // 2, **config), [Averages()]
    if dies_at is not None:
        hooks.append(Die(dies_at))
    if case.env == "sync":
        hooks.append(EvaluationHook(environment(dataclasses.replace(case, num_envs=1)), 60, 2))
    try:
        frequency = 8 if case.env in FRAMES else 2  # Convolutions take milliseconds.
        schedule = {"first_update": 8, "update_frequency": frequency * factor}
        agent.train(environment(case), **schedule, max_timesteps=timesteps, hooks=[*hooks, *further])
    except Killed:
        assert dies_at is not None
    return held(agent, hooks)


def held(agent: Agent, hooks: list[Hook]) -> dict[str, Any]:
    """Weights, optimizers, target networks, memory, noise, counters, hooks, the best score, and what TensorBoard shows."""
    memory = {f"{index} {v.name}": v.numpy() for index, v in enumerate(agent.memory.variables)}
    explorers = [
        v.numpy() for part in agent._scope.unsaved_modules() if "Noise" in type(part).__name__ for v in part.variables
    ]
    return {
        "counters": counters(agent),
        **{f"weights {name}": value for name, value in weights(agent).items()},
        **{f"memory {name}": value for name, value in memory.items()},
        **{f"noise {index}": value for index, value in enumerate(explorers)},
        **{f"hook {name}": hook.get_state() for name, hook in named(hooks)},
        "best": agent.checkpoints.best_score(),
        "points": points(agent.model_dir),
    }


def points(model_dir: Path) -> list[tuple[str, str, int, float]]:
    """All scalars in TensorBoard, but those of the clock: run, tag, step, value, in the order in which they were written."""
    found = []
    for file in sorted(model_dir.rglob("events.out.tfevents.*"), key=lambda file: (file.parent, file.stat().st_mtime_ns)):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if not value.tag.startswith("time/") and value.metadata.plugin_data.plugin_name == "scalars":
                    number = float(make_ndarray(value.tensor))
                    found.append((str(file.parent.relative_to(model_dir)), value.tag, event.step, number))
    return sorted(found)


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    """The same, bit for bit."""
    assert first.keys() == second.keys()
    different = [name for name in first if not np.array_equal(first[name], second[name])]
    assert not different, different
