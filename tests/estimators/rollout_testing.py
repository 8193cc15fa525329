"""Environments and short runs for the tests of evaluation and prediction."""

from __future__ import annotations

from tiny_agents import make_agent
from tiny_envs import ScheduleEnv

BATCH = 4
SCHEDULE = "polyrl/TinySchedule-v0"


def schedule(*lengths: int, number: int = 0, **arguments) -> ScheduleEnv:
    return ScheduleEnv(number, lengths or (3,), **arguments)


def train_on(env, model_fn, model_dir, timesteps: int = 9, **arguments):
    agent = make_agent(model_fn, model_dir=model_dir, **arguments)
    agent.train(env, first_update=BATCH, timesteps=timesteps)
    return agent
