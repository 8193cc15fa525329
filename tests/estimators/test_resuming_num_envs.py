"""A run resumes with another number of environments, where its memory does not depend on it; else the refusal names it."""

from __future__ import annotations

import pytest
from tiny_agents import counting_model_fn

from polyrl.envs import GymEnvironment
from polyrl.errors import CheckpointMismatchError
from polyrl.estimators import Agent, RunConfig
from polyrl.replay import UniformReplay


def train(model_dir, num_envs, n_step):
    agent = Agent(counting_model_fn, UniformReplay(60, 4, n_step=n_step), model_dir, RunConfig(jit="off", progress=False))
    return agent.train(GymEnvironment("polyrl/TinySchedule-v0", num_envs), first_update=4, timesteps=12).global_timestep


@pytest.mark.parametrize(("before", "now"), [(2, 3), (3, 2)])
def test_it_may_differ_with_single_steps(tmp_path, before, now):
    assert train(tmp_path, before, 1) == 12
    assert train(tmp_path, now, 1) == 24


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(("before", "now"), [(2, 3), (3, 2)])
def test_windows_depend_on_it(tmp_path, before, now):
    assert train(tmp_path, before, 3) == 12
    words = rf"was trained with num_envs={before}, this run has num_envs={now}: with n_step=3"
    with pytest.raises(CheckpointMismatchError, match=words):
        train(tmp_path, now, 3)
    assert train(tmp_path, before, 3) == 24


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_the_same_agent_too(tmp_path, jit):
    """Its calls are compiled for a number of environments: the same one before an update, none after it."""
    agent = Agent(counting_model_fn, UniformReplay(60, 4), tmp_path, RunConfig(jit=jit, progress=False))
    for number, num_envs in enumerate((2, 3, 1, 2), start=1):
        env = GymEnvironment("polyrl/TinySchedule-v0", num_envs)
        assert agent.train(env, first_update=4, update_frequency=4, timesteps=12).global_timestep == 12 * number
