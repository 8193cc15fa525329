"""Hooks and models for the tests of hooks."""

from __future__ import annotations

from tiny_envs import ScheduleEnv

from polyrl.estimators import Agent

BATCH = 4


def schedule(lengths=(3,), **arguments) -> ScheduleEnv:
    return ScheduleEnv(lengths=lengths, **arguments)


def checkpoints(agent: Agent) -> list[int]:
    return [int(path.name.split("-")[1]) for path in sorted(agent.checkpoints.directory.glob("*"))]
