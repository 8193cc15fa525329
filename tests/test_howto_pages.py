"""The Python of the pages on schedules, hooks, exploration and demonstrations runs as it stands, and does what they say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tiny_agents import make_agent, q_model_fn
from tiny_envs import ScriptedEnv

from polyrl.envs import GymEnvironment
from polyrl.estimators import Agent, Predictor
from polyrl.estimators.hooks.base import PHASES, Hook
from polyrl.estimators.hooks.context import RunContext
from polyrl.models import Scope
from polyrl.replay import UniformReplay

DOCS = Path(__file__).resolve().parents[1] / "docs"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL)


@pytest.mark.slow
def test_schedules(tmp_path, capsys):
    rates, exploration, phases = blocks("schedules.md")
    exec(rates, {})
    lines = capsys.readouterr().out.splitlines()
    linear, steps, cosine = zip(*(line.split() for line in lines), strict=True)
    assert linear == ("1.0e-03", "5.1e-04", "1.0e-05")  # The mean of both ends in the middle.
    assert steps == ("1.0e-03", "3.0e-04", "1.0e-04")
    assert cosine == ("1.0e-03", "5.1e-04", "1.0e-05")
    exec(exploration, {})
    assert capsys.readouterr().out.splitlines() == ["[1.0, 0.525, 0.05]", "[1.0, 0.5, 0.062]"]
    agent = make_agent(q_model_fn("dqn", num_actions=2), model_dir=tmp_path / "run")
    scope = {"agent": agent, "env": "CartPole-v1", "Agent": Agent, "UniformReplay": UniformReplay}
    exec(phases, {**scope, "model_fn": q_model_fn("dqn", num_actions=2)})
    assert (
        Predictor.from_model_dir(tmp_path / "run_second", q_model_fn("dqn", num_actions=2)).counters["global_step"]
        == (2_000 - 100) // 4
    )


def test_a_hook_stops_on_a_plateau(tmp_path, capsys):
    given, use = blocks("hooks.md")
    scope = {"agent": make_agent(model_dir=tmp_path), "env": GymEnvironment(lambda: ScriptedEnv([5.0, 3.0]))}
    exec(given + use, scope)
    assert capsys.readouterr().out == "no improvement in 3 evaluations\n"
    assert scope["result"].global_timestep == 800  # The best of the four evaluations is the first: all are alike.
    assert '"plateau/evaluations": 3' in (tmp_path / "metrics.jsonl").read_text()


def test_a_schedule_of_exploration_of_ones_own():
    code, _ = blocks("exploration.md")
    exec(code, scope := {})
    config = scope["CosineExplorationConfig"](decay_steps=100, final=0.2)
    rate = tf.function(config.rate, jit_compile=True)
    found = [float(rate(tf.constant(step, tf.int64))) for step in (0, 25, 50, 100, 1_000)]
    np.testing.assert_allclose(found, [1.0, 0.2 + 0.4 * (1.0 + np.sqrt(0.5)), 0.6, 0.2, 0.2], rtol=1e-6)


def test_demonstrations_have_the_term_of_their_page():
    """By hand: the expert's action is worth 1 more than the other, or 1 less, with a margin of 0.8."""
    (code,) = blocks("family/dqfd.md")
    exec(code, scope := {})
    for expert in (0.0, 1.0):
        labels = {
            "action": np.array([0, 1]),
            "reward": np.zeros(2, np.float32),
            "done": np.ones(2, np.float32),
            "next_state": np.zeros([2, 4], np.float32),
            "expert": np.full(2, expert, np.float32),
        }
        labels = {name: tf.convert_to_tensor(value) for name, value in labels.items()}
        with Scope().active():
            spec = scope["model_fn"]({"state": tf.ones([2, 4])}, labels, "eval")
        q = spec.predictions["q"].numpy()
        taken, other = q[[0, 1], [0, 1]], q[[0, 1], [1, 0]]
        term = expert * (np.maximum(taken, other + 0.8) - taken)
        huber = np.where(np.abs(taken) < 1.0, taken**2 / 2, np.abs(taken) - 0.5)  # The target is the reward, 0.
        np.testing.assert_allclose(spec.loss, np.mean(huber + term), rtol=1e-5)


def test_the_page_has_every_phase_and_all_that_a_run_offers():
    page = (DOCS / "hooks.md").read_text()
    assert [name for name in (*PHASES, "close") if f"`{name}(" not in page] == []
    offered = {name for name in (*vars(RunContext), *RunContext.__annotations__) if not name.startswith("_")}
    inner = {"play", "summary_options", "pretrain_updates"}  # For polyrl's own hooks.
    assert sorted(name for name in offered - inner if f"`{name}" not in page) == []
    assert issubclass(Hook, object)
