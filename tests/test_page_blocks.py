"""The Python of the pages that no other test runs: it runs as it stands, but for budgets, which are shorter."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tiny_agents import make_agent, q_model_fn

import polyrl
from polyrl import configs, demos
from polyrl.configs import AdamConfig, MetricConfig, OptimizerConfig
from polyrl.estimators.hooks import EvaluationHook
from polyrl.models import DQNModel, NAFModel, Scope
from polyrl.networks import mlp

TESTS = Path(__file__).resolve().parent
DOCS = TESTS.parent / "docs"
FAMILY = sorted((DOCS / "family").glob("*.md"))
SHORT = 300
"""Environment steps that a block may train for at most."""


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python.*?\n(.*?)```", page.read_text(), flags=re.DOTALL)


@pytest.fixture(autouse=True)
def short_runs(monkeypatch, tmp_path):
    """In an empty directory, with budgets that are cut."""
    monkeypatch.chdir(tmp_path)
    train = polyrl.Agent.train

    def shortly(self: Any, env: Any, **given: Any) -> Any:
        most = {name: min(given[name], SHORT) for name in ("timesteps", "max_timesteps") if given.get(name) is not None}
        most |= {name: min(given[name], 64) for name in ("update_frequency", "updates_at_once") if name in given}
        most |= {"first_update": min(given.get("first_update", 100), 100)}
        most |= {"pretrain_updates": min(given.get("pretrain_updates", 0), 5)}
        return train(self, env, **{**given, **most})

    monkeypatch.setattr(polyrl.Agent, "train", shortly)


def test_the_python_of_each_page_is_run_by_a_test():
    """A block that nothing runs is a block that is wrong one day."""
    # A test that only reads a page does not run it.
    tests = "\n".join(
        text for path in TESTS.rglob("*.py") if re.search(r"\b(exec\(|run_path\(|subprocess)", text := path.read_text())
    )
    pages = [page for page in DOCS.rglob("*.md") if blocks(page) and page not in FAMILY]
    assert [page.name for page in pages if f'{page.name}"' not in tests and f'"{page.name}' not in tests] == []


@pytest.mark.default_cases(6)
@pytest.mark.parametrize("page", [page for page in FAMILY if page.stem != "dqfd"], ids=lambda page: page.stem)
def test_a_model_is_made_as_its_page_shows(page):
    """The function builds its network for the states that it is written for."""
    (code,) = blocks(page)
    if ".train(" in code:
        code = code[: code.rindex("agent.train(")]
    exec(code, scope := {})
    model_fn = scope["model_fn"]
    assert list(inspect.signature(model_fn).parameters)[:3] == ["features", "labels", "mode"]
    failed = []
    for size in (4, 3, 2, 6, 8):
        try:
            with Scope().active():
                spec = model_fn({"state": tf.zeros([2, size])}, None, "infer")
        except ValueError as error:
            failed.append(error)
        else:
            assert spec.predictions["results"].shape[0] == 2
            return
    raise failed[0]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in FAMILY if ".train(" in "".join(blocks(page))], ids=lambda page: page.stem)
def test_a_model_is_trained_as_its_page_shows(page):
    (code,) = blocks(page)
    exec(code, {})


@pytest.mark.slow
def test_coming_from_tf_estimator(tmp_path, capsys):
    (code,) = blocks(DOCS / "coming_from.md")
    exec(code, scope := {"agent": make_agent(q_model_fn("dqn", num_actions=2), model_dir=tmp_path / "run")})
    # The only evaluation is that at the end, as the first one in between is after 2,000 steps: it is the best, too.
    assert {path.parent.name for path in scope["result"].exports} == {"best", "final"}


def test_configuration_names_every_config():
    """Of the optimizers a page had Adam's alone, and `RMSPropConfig` was guessed."""
    named = re.findall(r"`(\w+)`", (DOCS / "configuration.md").read_text())
    assert {*configs.__all__} - {*named} == {"Config"}


def test_configuration():
    (code,) = blocks(DOCS / "configuration.md")
    exec(code, scope := {"AdamConfig": AdamConfig, "OptimizerConfig": OptimizerConfig})
    scope["model_fn"](None, None, "train", ml_collections.FrozenConfigDict(scope["params"]))


@pytest.mark.slow
def test_distributed():
    """As a program: Ray's processes get functions of `__main__` by value."""
    (code,) = blocks(DOCS / "distributed.md")
    Path("program.py").write_text(code.replace("max_timesteps=20_000", "max_timesteps=1_500"))
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "mean_reward" in done.stdout


@pytest.mark.slow
def test_learners():
    """As a program: it connects before anything is computed."""
    (code,) = blocks(DOCS / "learners.md")
    Path("program.py").write_text(code)
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "budget of timesteps reached" in done.stdout


@pytest.mark.slow
def test_demonstrations(tmp_path):
    expert = make_agent(q_model_fn("dqn", num_actions=2), model_dir=tmp_path / "expert")
    expert.train("CartPole-v1", timesteps=SHORT)
    demos.save_npz(expert.record("CartPole-v1", 2), "demos.npz")
    (code,) = blocks(DOCS / "demonstrations.md")

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        return polyrl.DQNModel(mode, mlp([8]), 4, 2, use_expert_demo=True)(features, labels)

    exec(code, {"Agent": polyrl.Agent, "model_fn": model_fn, "env": "CartPole-v1"})


def test_video():
    (code,) = blocks(DOCS / "video.md")
    exec(code, {})


def test_exploration():
    _, code = blocks(DOCS / "exploration.md")
    exec(code, scope := {"NAFModel": NAFModel, "mode": "infer", "graph_fn": mlp([4])})
    with Scope().active():
        assert scope["model"]({"state": tf.zeros([2, 3])}).predictions["results"].shape == (2, 1)


@pytest.mark.slow
def test_models():
    """In each of them the code is within the words of the page: what it is about is put around it here."""
    sgd, scale, taxi, metrics = blocks(DOCS / "models.md")
    exec(sgd, scope := {"DQNModel": DQNModel})
    plain = scope["PlainSGD"]
    agent = make_agent(lambda features, labels, mode: plain(mode, mlp([8]), 4, 2)(features, labels))
    assert agent.train("CartPole-v1", first_update=8, timesteps=20).global_step == 12

    exec(scale, scope := {"layers": tf_keras.layers})
    np.testing.assert_array_equal(scope["Scale"]()(tf.constant([[1.0, 2.0]])), [[1.0, 2.0]])

    exec(taxi, scope := {"polyrl": polyrl})
    assert (scope["num_states"], scope["num_actions"]) == (500, 6)
    assert scope["graph_fn"]("infer", {"state": tf.constant([3, 499])}).shape == (2, 64)

    exec(metrics, scope := {"MetricConfig": MetricConfig})
    agent = make_agent(q_model_fn(num_actions=2, eval_metrics_config=scope["eval_metrics_config"]))
    agent.train("CartPole-v1", first_update=8, timesteps=20)
    assert {"Mean_td_error", "distance", "SparseCategoricalAccuracy_q"} <= agent.evaluate("CartPole-v1", 2).keys()


@pytest.mark.slow
def test_tensorboard(monkeypatch):
    """Weights & Biases and MLflow are stand-ins here: what of them is called, and with what."""
    (code,) = blocks(DOCS / "tensorboard.md")
    exec(code, scope := {})
    told: list[Any] = []
    run = types.SimpleNamespace(finish=lambda: told.append("finished"))
    wandb = types.SimpleNamespace(init=lambda **given: told.append(given) or run)
    mlflow = types.SimpleNamespace(log_metric=lambda name, value, step: told.append((name, step)))
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    agent = make_agent(q_model_fn(num_actions=2), model_dir="mine")
    evaluating = EvaluationHook("CartPole-v1", every_timesteps=20, episodes=1)
    agent.train("CartPole-v1", first_update=8, timesteps=50, hooks=[evaluating, scope["WandbHook"](), scope["MLflowHook"]()])
    assert told == [
        {"project": "polyrl", "id": "mine", "resume": "allow", "sync_tensorboard": True},
        ("mean_reward", 20),
        ("mean_reward", 40),
        "finished",
    ]
