"""Puts this directory on the import path, for `tiny_envs` and `tiny_agents`, and gives the fixtures that need no more."""

from __future__ import annotations

from typing import Any

import polyrl  # noqa: F401  Before TensorFlow, whose start-up messages would follow pytest's summary line.

# isort: split

import pytest
from tiny_agents import make_agent

from polyrl.estimators import Agent


@pytest.fixture
def agent(tmp_path):
    """Makes agents on one and the same `model_dir`; see `tiny_agents.make_agent` for the arguments."""

    def make(model_fn: Any = None, **arguments: Any) -> Agent:
        arguments.setdefault("model_dir", tmp_path / "run")
        return make_agent(model_fn, **arguments)

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the default run short: of models and memories each test runs with its first seed, the other seeds are slow tests.

    So are the kinds of model that have all of their parts from others: C51 with double Q-learning, and double DQN, but for the
    tests of losses and targets, which are quick; and C51 in the modes that do not learn, where it differs by its values alone.

    Other slow tests are marked where they stand: those of seconds each, if a quicker one in the default run covers the code
    beneath.
    """
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if not item.nodeid.startswith(("tests/models/", "tests/replay/")):
            continue
        kind = next((parameters[name] for name in ("kind", "head_kind", "scalar_kind") if name in parameters), None)
        quick = item.path.stem in ("test_losses", "test_target_updates")
        repeats = (kind == "ddqn" and not quick) or (kind == "c51" and parameters.get("mode") in ("eval", "infer"))
        if parameters.get("seed", 0) != 0 or kind == "c51_double" or repeats:
            item.add_marker(pytest.mark.slow)
