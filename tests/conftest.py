"""Puts this directory on the import path, for `tiny_envs` and `tiny_agents`, and gives the fixtures that need no more."""

from __future__ import annotations

from typing import Any

from polyrl.estimators import Agent

import pytest
from tiny_agents import make_agent


@pytest.fixture
def agent(tmp_path):
    """Makes agents on one and the same `model_dir`; see `tiny_agents.make_agent` for the arguments."""

    def make(model_fn: Any = None, **arguments: Any) -> Agent:
        arguments.setdefault("model_dir", tmp_path / "run")
        return make_agent(model_fn, **arguments)

    return make
