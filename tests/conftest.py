"""Puts this directory on the import path, for `tiny_envs` and `tiny_agents`, and gives the fixtures that need no more."""

from __future__ import annotations

import collections
import gc
import sys
from collections.abc import Iterator
from typing import Any

import quiet_start  # noqa: F401  Before TensorFlow is imported.

# isort: split

import pytest
from tiny_agents import make_agent

from polyrl.estimators import Agent

gc.freeze()
gc.set_threshold(100_000, 50, 10)
"""Graphs are many small objects. The collector's own thresholds cost a fifth of the time of all tests."""

CALLED = tuple(f"tests/{folder}/" for folder in ("engine", "models", "ops", "phenomena", "policies", "replay"))
"""Where tests have a parameter `eager`, `function` or `xla`."""


@pytest.fixture
def agent(tmp_path):
    """Makes agents on one and the same `model_dir`; see `tiny_agents.make_agent` for the arguments."""

    def make(model_fn: Any = None, **arguments: Any) -> Agent:
        arguments.setdefault("model_dir", tmp_path / "run")
        return make_agent(model_fn, **arguments)

    return make


@pytest.fixture(autouse=True)
def no_flags_of_the_command() -> Iterator[None]:
    """Tests that need the command's flags start a process: whether others passed would depend on the order of the tests."""
    yield
    assert "polyrl.flags.command" not in sys.modules, "defines flags that programs define too: use a process of its own."


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the default run short: what repeats another test is slow, and of a test's cases all after `default_cases` are.

    Other slow tests are marked where they stand: those of seconds each, if quicker ones in the default run cover most of the
    code beneath.
    """
    count: collections.Counter[str] = collections.Counter()
    for item in items:
        if _repeats(item):
            item.add_marker(pytest.mark.slow)
        limit = item.get_closest_marker("default_cases")
        if limit is not None and item.get_closest_marker("slow") is None:
            name = item.nodeid.partition("[")[0]
            count[name] += 1
            if count[name] > limit.args[0]:
                item.add_marker(pytest.mark.slow)


def _repeats(item: pytest.Item) -> bool:
    """Whether a test does with other parameters what a quicker one, or the one before it, does in the default run.

    So do, of models and memories, all seeds but the first, and the kinds of model that have all of their parts from others:
    C51 with double Q-learning, and double DQN, but for the tests of losses and targets, which are quick; and C51 in the modes
    that do not learn, where it differs by its values alone. Of what is done eagerly, in a plain graph, and with XLA it is the
    plain graph, which lies between the two others.
    """
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    if item.nodeid.startswith(CALLED) and "function" in (value for value in parameters.values() if isinstance(value, str)):
        return True
    if not item.nodeid.startswith(("tests/models/", "tests/replay/")):
        return False
    kind = next((parameters[name] for name in ("kind", "head_kind", "scalar_kind") if name in parameters), None)
    quick = item.path.stem in ("test_losses", "test_target_updates")
    same_parts = (kind == "ddqn" and not quick) or (kind == "c51" and parameters.get("mode") in ("eval", "infer"))
    return bool(parameters.get("seed", 0) != 0 or kind == "c51_double" or same_parts)
