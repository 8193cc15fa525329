"""The Python of the pages that no other test runs: it runs as it stands, but for budgets, which are shorter."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import ml_collections
import pytest
import tensorflow as tf
from tiny_agents import make_agent, q_model_fn

import polyrl
from polyrl import demos
from polyrl.configs import AdamConfig, OptimizerConfig
from polyrl.models import NAFModel, Scope
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
    tests = "\n".join(path.read_text() for path in TESTS.rglob("*.py"))
    pages = [page for page in DOCS.rglob("*.md") if blocks(page) and page not in FAMILY]
    assert [page.name for page in pages if f'{page.name}"' not in tests and f'"{page.name}' not in tests] == []


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


def test_configuration():
    (code,) = blocks(DOCS / "configuration.md")
    exec(code, scope := {"AdamConfig": AdamConfig, "OptimizerConfig": OptimizerConfig})
    scope["model_fn"](None, None, "train", ml_collections.FrozenConfigDict(scope["params"]))


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
