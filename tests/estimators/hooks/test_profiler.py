"""The profile of some updates."""

from __future__ import annotations

import pytest
from tiny_agents import make_agent
from tiny_envs import ScheduleEnv

from polyrl.estimators.hooks import Hook
from polyrl.estimators.hooks.profiler import ProfilerHook


def profiles(directory):
    return sorted(directory.rglob("*.xplane.pb"))


class Broken(Hook):
    def after_act(self, run):
        if run.step == 6:
            raise RuntimeError("broken")


def test_it_profiles_between_two_updates_once(tmp_path):
    agent = make_agent(model_dir=tmp_path)
    agent.train(ScheduleEnv(lengths=(3,)), first_update=4, max_timesteps=8, hooks=[ProfilerHook(9, 12)])
    assert profiles(tmp_path) == []
    agent.train(ScheduleEnv(lengths=(3,)), first_update=4, max_timesteps=20, hooks=[ProfilerHook(9, 12)])
    (file,) = profiles(tmp_path)
    assert file.stat().st_size > 0
    agent.train(ScheduleEnv(lengths=(3,)), first_update=4, max_timesteps=30, hooks=[ProfilerHook(9, 12)])
    assert profiles(tmp_path) == [file]


def test_an_error_ends_it_too(tmp_path):
    with pytest.raises(RuntimeError, match="broken"):
        make_agent(model_dir=tmp_path).train(ScheduleEnv(lengths=(3,)), first_update=4, hooks=[ProfilerHook(3, 90), Broken()])
    assert len(profiles(tmp_path)) == 1


@pytest.mark.parametrize(("first", "last"), [(-1, 4), (4, 4), (5, 4)])
def test_an_empty_range_is_refused(first, last):
    with pytest.raises(ValueError, match="must be at least"):
        ProfilerHook(first, last)
