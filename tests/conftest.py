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
    """Keeps the default run short: of models and memories each test runs with its first seed, the other seeds are slow tests,
    and so is C51 with double Q-learning, which has all of its parts from two other kinds.

    Other slow tests are marked where they stand: those of seconds each, if a quicker one in the default run covers the code
    beneath.
    """
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if not item.nodeid.startswith(("tests/models/", "tests/replay/")):
            continue
        if parameters.get("seed", 0) != 0 or parameters.get("kind") == "c51_double":
            item.add_marker(pytest.mark.slow)
